import Checkpoint
import Container
import Quantizer
import TestSupport
import Testing

@Suite struct ImportanceMatrixTests {
    private static let gguf = "\(Fixtures.root)/Tests/Fixtures/imatrix/demo-shaped.imatrix.gguf"
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// Three experts of two columns: one with many tokens, one with few, one with none.
    private let small = ImportanceMatrix(
        moments: [
            .experts(layer: 4, .gateUp): .init(
                columnCount: 2, sums: [3000, 1000, 0, 16, 0, 0], counts: [1000, 16, 0]),
            .experts(layer: 4, .down): .init(columnCount: 1, sums: [5, 2, 0], counts: [1000, 16, 0]),
            .tensor(TensorKey(.outputHead)): .init(columnCount: 4, sums: [1, 2, 5, 0], counts: [10]),
        ], origin: .init(textChecksums: ["0123456789abcdef"], textNames: ["a \"quoted\" name.txt"], tokenCount: 1016))

    @Test func weightsAreOneOnAverage() throws {
        let weights = try #require(small.weights(for: TensorKey(.outputHead)))
        #expect(weights[0] == 0.5 && weights[1] == 1 && weights[2] == 2.5)
        #expect(weights[3] > 0 && weights[3] < 0.001, "no column is free to become anything")
        #expect(small.weights(for: TensorKey(.router, layer: 4)) == nil)
        #expect(small.weights(for: ExpertKey(layer: 5, expert: 0), .down) == nil)
        #expect(small.weights(for: ExpertKey(layer: 4, expert: 3), .down) == nil)
    }

    @Test func expertsAreShrunkTowardsTheirLayersMean() throws {
        // (3000, 1016) / 1016 tokens, and on average 1.
        let mean: [Double] = [3000.0 / 2008, 1016.0 / 2008]
        let own: [[Double]] = [[1.5, 0.5], [1e-4, 2], [1, 1]]
        for (expert, count) in [1000.0, 16, 0].enumerated() {
            let weights = try #require(small.weights(for: ExpertKey(layer: 4, expert: expert), .gateUp))
            for column in 0..<2 {
                let expected = (count * own[expert][column] + 64 * mean[column]) / (count + 64)
                #expect(relativeDifference(Double(weights[column]), expected) < 1e-6)
            }
        }
        #expect(small.silentExperts == [ExpertKey(layer: 4, expert: 2)])
        #expect(small.count(for: ExpertKey(layer: 4, expert: 1)) == 16)
    }

    @Test func comesBackFromItsFile() throws {
        let path = "\(directory.path)/imatrix"
        try small.write(to: path)
        let read = try ImportanceMatrix(path: path)
        #expect(read == small)
        #expect(read.fingerprint == small.fingerprint)
        let other = ImportanceMatrix(moments: small.moments, origin: .init())
        #expect(other.fingerprint != small.fingerprint, "the text is part of it")
        // Anyone's safetensors reader finds it as it is described.
        let file = try SafetensorsFile(path: path)
        let sums = try #require(file.tensor(named: "layers.4.experts.gate_up.sums"))
        #expect(sums.shape == [3, 2])
        #expect(try file.floats(of: sums) == [3000, 1000, 0, 16, 0, 0])
    }

    @Test func readsTheMatricesOfLlamaCpp() throws {
        let matrix = try ImportanceMatrix(path: Self.gguf)
        #expect(matrix.origin.textNames == ["stories.txt", "more stories.txt"])
        #expect(matrix.origin.tokenCount == 512)
        #expect(matrix.silentExperts == [ExpertKey(layer: 1, expert: 3)])
        #expect(matrix.count(for: ExpertKey(layer: 1, expert: 5), .down) == 2)
        #expect(matrix.count(for: TensorKey(.keyValueUp, layer: 1)) == 512)
        let experts = try #require(matrix.moments[.experts(layer: 1, .down)])
        #expect(experts.columnCount == 64 && experts.counts.count == 32)
        for (expert, column) in [(0, 0), (5, 63), (31, 17)] {
            let expected = Float((1 + (expert * 7 + column) % 11) * experts.counts[expert])
            #expect(experts.row(expert)[expert * 64 + column] == expected)
        }
        let head = try #require(matrix.moments[.tensor(TensorKey(.outputHead))])
        #expect(head.sums.count == 256 && head.sums[12] == Float(1 + 12 % 11) * 512)
        #expect(matrix.moments.count == 5 * 2 + 3 + 1 + 2 + 3 + 1)
    }

    @Test func aMatrixOfAnotherModelIsRefused() throws {
        let model = try DemoModel.container("int4").metadata.configuration
        // It has two of the demonstration model's five layers.
        let error = #expect(throws: CheckpointError.self) {
            try ImportanceMatrix(path: Self.gguf).check(against: model, path: "x.gguf")
        }
        #expect(error?.description.contains("another model") == true)
        var wider = model
        wider.hiddenSize *= 2
        let wrong = #expect(throws: CheckpointError.self) {
            try ImportanceMatrix(path: Self.gguf).check(against: wider, path: "x.gguf")
        }
        #expect(wrong?.code == .wrongTensor)
    }
}
