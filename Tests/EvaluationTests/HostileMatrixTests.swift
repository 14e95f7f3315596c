import Checkpoint
import Container
import FoundationEssentials
import Quantizer
import TestSupport
import Testing

/// Importance matrices come from anywhere, so a damaged one is an error, and never more than that.
@Suite struct HostileMatrixTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private func read(_ bytes: some Sequence<UInt8>) throws -> ImportanceMatrix {
        let path = "\(directory.path)/imatrix"
        try Data(bytes).write(to: URL(filePath: path))
        return try ImportanceMatrix(path: path)
    }

    private func write(_ metadata: [String: String], _ add: (inout SafetensorsWriter) -> Void) throws -> [UInt8] {
        var writer = SafetensorsWriter(metadata: metadata)
        add(&writer)
        let path = "\(directory.path)/made"
        try writer.write(to: path)
        return Array(try Data(contentsOf: URL(filePath: path)))
    }

    private static let header = ["format": "moed importance matrix 1", "context": "512", "tokens": "512"]
    private static let gguf = "\(Fixtures.root)/Tests/Fixtures/imatrix/demo-shaped.imatrix.gguf"

    @Test(arguments: [
        [Float.nan, 1], [Float.infinity, 1], [-1, 1], [1, -Float.infinity],
    ])
    func refusesSumsThatNoTextGives(_ sums: [Float]) throws {
        let bytes = try write(Self.header) {
            $0.add("layers.1.attention.output.sums", shape: [1, 2], floats: sums)
            $0.add("layers.1.attention.output.counts", shape: [1], integers: [Int64(5)])
        }
        let error = #expect(throws: CheckpointError.self) { try read(bytes) }
        #expect(error?.code == .wrongTensor)
        #expect(error?.tensor == "layers.1.attention.output")
    }

    @Test(arguments: [-1, 0, 1 << 41, Int64.max, .min])
    func refusesCountsThatNoTextGives(_ count: Int64) throws {
        let bytes = try write(Self.header) {
            $0.add("output.head.sums", shape: [1, 2], floats: [1, 2])
            $0.add("output.head.counts", shape: [1], integers: [count])
        }
        #expect(throws: CheckpointError.self) { try read(bytes) }
    }

    @Test(arguments: [
        "layers.1.experts.up", "layers.-1.router", "layers.01.router", "layers.99999999999999999999.router",
        "layers.1.output.head", "router", "", "layers.1.", "layers.70000.router",
    ])
    func refusesNamesOfNoMatrix(_ name: String) throws {
        let bytes = try write(Self.header) {
            $0.add("\(name).sums", shape: [1, 2], floats: [1, 2])
            $0.add("\(name).counts", shape: [1], integers: [Int64(5)])
        }
        let error = #expect(throws: CheckpointError.self) { try read(bytes) }
        #expect(error?.code == .unexpectedTensor)
    }

    @Test func refusesWhatIsNotAPair() throws {
        let cases: [(inout SafetensorsWriter) -> Void] = [
            { $0.add("output.head.sums", shape: [1, 2], floats: [1, 2]) },
            { $0.add("output.head.counts", shape: [1], integers: [Int64(5)]) },
            { _ in },
            {
                $0.add("output.head.sums", shape: [2], floats: [1, 2])
                $0.add("output.head.counts", shape: [1], integers: [Int64(5)])
            },
            {
                $0.add("output.head.sums", shape: [2, 1], floats: [1, 2])
                $0.add("output.head.counts", shape: [1], integers: [Int64(5)])
            },
            {
                $0.add("output.head.sums", shape: [1, 0], floats: [])
                $0.add("output.head.counts", shape: [1], integers: [Int64(5)])
            },
        ]
        for add in cases {
            let bytes = try write(Self.header, add)
            #expect(throws: CheckpointError.self) { try read(bytes) }
        }
        let otherFormat = try write(["format": "something else"]) {
            $0.add("output.head.sums", shape: [1, 2], floats: [1, 2])
            $0.add("output.head.counts", shape: [1], integers: [Int64(5)])
        }
        #expect(throws: CheckpointError.self) { try read(otherFormat) }
    }

    @Test func refusesTruncations() throws {
        let whole = Array(try Data(contentsOf: URL(filePath: Self.gguf)))
        // The descriptions end near byte 3,700; behind them every place is data.
        for count in Array(stride(from: 0, to: 4000, by: 7)) + [5000, whole.count / 2, whole.count - 64] {
            #expect(throws: CheckpointError.self, "\(count) bytes") { try read(whole.prefix(count)) }
        }
        let own = try write(Self.header) {
            $0.add("output.head.sums", shape: [1, 2], floats: [1, 2])
            $0.add("output.head.counts", shape: [1], integers: [Int64(5)])
        }
        for count in 0..<own.count { #expect(throws: CheckpointError.self) { try read(own.prefix(count)) } }
    }

    @Test func survivesEveryKindOfDamage() throws {
        let whole = Array(try Data(contentsOf: URL(filePath: Self.gguf)))
        var refused = 0
        for seed in 0..<1000 as Range<UInt64> {
            var mutator = Mutator(seed: seed)
            let bytes = mutator.overwrite(Array(whole[..<4000])) + whole[4000...]
            do {
                let matrix = try read(bytes)
                for key in matrix.silentExperts { _ = matrix.weights(for: key, .gateUp) }
            } catch is CheckpointError {
                refused += 1
            }
        }
        #expect(refused > 100)
    }
}
