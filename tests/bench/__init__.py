"""The benchmark: Relay and its peers, from injector to sink, in one run. See docs/benchmarks.md."""
