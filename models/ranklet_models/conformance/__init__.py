"""What ranklet must compute: graphs with ONNX Runtime's answers, and how ranklet is held against them.

`operators` makes a graph for every operator and attribute value, `families` the architectures of rankers, `exporters`
trains and exports with the libraries people use, `backend` takes ONNX's own node tests. `run` is the command.
"""
