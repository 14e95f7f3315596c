// How near the products come to what the machine can do, against committed thresholds:
// `swift run -c release kernel-benchmark [NAME...]`.

import Benchmark
import Compute
import Glibc

let shape = MatrixShape(rows: 1408, columns: 2048, format: .q4, layout: .panels)
let threads = ThreadPool(threadCount: ThreadCount.available)
let names = CommandLine.arguments.dropFirst()
let matrices = try Matrices(shape: shape, byteCount: 2 << 30)
var verdicts: [Verdict] = []
var speeds: [String: Double] = [:]
for kernels in Kernels.available where names.isEmpty ? kernels.name != "scalar" : names.contains(kernels.name) {
    let limits = try LimitProbe(kernels: kernels, threadCount: threads.threadCount).measure()
    print(kernels.name, limits.summary)
    for table in CodeTable.searched {
        let decode = try Products(kernels, matrices, table, tokens: 1).bytesPerSecond(threads)
        print("  \(table) 1 token:", limits.share(ofBandwidth: decode))
        verdicts.append(.decoding(kernels, table, share: decode / limits.readBandwidth))
        for tokens in [4, 16, 48, 256] {
            let prefill = try Products(kernels, matrices, table, tokens: tokens).operationsPerSecond(threads)
            print("  \(table) \(tokens) tokens:", limits.share(ofPeak: prefill))
            guard tokens == 48 else { continue }
            verdicts.append(.manyTokens(kernels, table, share: prefill / limits.multiplyAddRate))
            if table == .linear { speeds[kernels.name] = prefill }
        }
    }
}
if let tiles = speeds["amx"], let vectors = speeds["avx512vnni"] { verdicts.append(.tiles(tiles / vectors)) }
for verdict in verdicts { print(verdict.line) }
exit(verdicts.allSatisfy(\.holds) ? EXIT_SUCCESS : EXIT_FAILURE)
