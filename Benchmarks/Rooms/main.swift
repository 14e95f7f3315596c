import Benchmark
import Container
import Glibc

// The benchmarks of the rooms above the kernels: room-benchmarks MODEL.moe

guard CommandLine.arguments.count == 2 else {
    print("usage: room-benchmarks MODEL.moe")
    exit(EX_USAGE)
}
let container = try ContainerReader(path: CommandLine.arguments[1])
let verdicts =
    try ThreadBenchmarks.run() + TokenizerBenchmarks.run(container) + ContainerBenchmarks.run(container)
    + StepBenchmarks.run(container)
for verdict in verdicts { print(verdict.line) }
exit(verdicts.allSatisfy(\.holds) ? EXIT_SUCCESS : EXIT_FAILURE)
