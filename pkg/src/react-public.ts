export { useRanking, type RankingOptions, type RankingSource, type UsedRanking } from "./react.js";
