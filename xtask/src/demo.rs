//! `cargo xtask demo`: one real re-rank in Node from the built package, then the page.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::{AtPath, Failure, Result};
use crate::process::must;
use crate::stamp::{Stamp, copy_tree, empty_folder, fresh, keep};
use crate::workspace::Workspace;
use crate::{native, package, toolchain};

/// Where the page is served unless told otherwise; the next free one is taken if it is in use.
const DEFAULT_PORT: u16 = 4173;

/// What the command line asks for.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Print the re-rank and stop: no page is served
    #[arg(long)]
    once: bool,
    /// Print the decision records `{before, after}` as one JSON document on stdout
    #[arg(long)]
    json: bool,
    /// The page's port on 127.0.0.1, by default the first free one from 4173
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

pub fn run(work: &Workspace, options: &Options) -> Result<()> {
    // Asked before minutes of building.
    let port = if options.once { None } else { Some(free_port(options.port)?) };
    native::bundle(work)?;
    if package::lacks_only_its_wasm(work)? {
        eprintln!(
            "pkg/dist/ranklet.wasm was taken away: this shows what a page does without it (`cargo xtask build` puts it back)"
        );
    } else {
        package::build(work)?;
    }
    rerank(work, options.json)?;
    match port {
        Some(port) => serve(work, port, options.json),
        None => Ok(()),
    }
}

/// Prints the re-rank; Node writes to our own stdout.
fn rerank(work: &Workspace, json: bool) -> Result<()> {
    let script = work.root.join("xtask/demo/demo.mjs");
    let mut node = toolchain::node()?;
    node.arg(&script).current_dir(&work.root).env("RANKLET_BUNDLE", work.bundle()).stdin(Stdio::null());
    if json {
        node.arg("--json");
    }
    let status = node.status().map_err(|error| Failure::new(error.to_string(), script.display(), "check Node.js"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("the demo failed ({status})"), work.show(&script), "see its message above"))
}

/// Puts the built bundle and the recorded requests where the page finds them.
pub fn provide(work: &Workspace) -> Result<()> {
    let (model, public) = (work.models().join("ads-recs"), work.web_demo().join("public"));
    for folder in ["requests", "events"] {
        empty_folder(&public.join(folder))?;
        copy_tree(&model.join(folder), &public.join(folder), &[])?;
    }
    let target = public.join("ads-recs.ranklet");
    fs::copy(work.bundle(), &target).at(&target).map(drop)
}

/// Builds the page and hands this process over to its server.
fn serve(work: &Workspace, port: u16, json: bool) -> Result<()> {
    let page = work.web_demo();
    provide(work)?;
    package::install(&page, "web-demo")?;
    let stamp = Stamp::of("page").path_without(&page, &["node_modules", "dist", ".build"])?.path(&work.dist())?.value();
    let record = page.join(".build/stamp");
    if !fresh(&record, &stamp, &[page.join("dist/index.html")]) {
        let mut build = toolchain::npm()?;
        build.args(["run", "build"]).current_dir(&page);
        must(&mut build, "the demo page", "mend the first error above, in web-demo")?;
        keep(&record, &stamp)?;
    }
    let script: PathBuf = work.root.join("xtask/demo/serve.mjs");
    let mut server = toolchain::node()?;
    server.arg(&script).arg(&page).arg(port.to_string()).current_dir(&page).stdin(Stdio::null());
    if json {
        // The records are all that stdout carries.
        server.stdout(std::io::stderr());
    }
    become_process(server, &script)
}

/// Replaces this process where the system can, so that whoever stops xtask stops the server.
#[cfg(unix)]
fn become_process(mut server: Command, script: &std::path::Path) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(Failure::new(server.exec().to_string(), script.display(), "check Node.js"))
}

#[cfg(not(unix))]
fn become_process(mut server: Command, script: &std::path::Path) -> Result<()> {
    let mend = "see its message above";
    match server.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the server ended ({status})"), script.display(), mend)),
        Err(error) => Err(Failure::new(error.to_string(), script.display(), mend)),
    }
}

fn free_port(asked: Option<u16>) -> Result<u16> {
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map(drop);
    match asked {
        Some(port) => free(port).map(|()| port).map_err(|error| {
            let what = match error.kind() {
                std::io::ErrorKind::AddrInUse => format!("port {port} is in use"),
                std::io::ErrorKind::PermissionDenied => format!("port {port} needs more rights"),
                _ => format!("port {port} cannot be used: {error}"),
            };
            Failure::new(what, "127.0.0.1", "choose another with `--port`")
        }),
        None => (DEFAULT_PORT..DEFAULT_PORT + 100)
            .find(|port| free(*port).is_ok())
            .ok_or_else(|| Failure::new("no port is free", "127.0.0.1", "choose one with `--port`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused_by_name_and_avoided_by_default() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let failure = free_port(Some(port)).unwrap_err().to_string();
        assert_eq!(failure, format!("port {port} is in use, 127.0.0.1, choose another with `--port`"));
        assert!(free_port(None).is_ok());
    }
}
