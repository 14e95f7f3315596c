import Checkpoint
import Container
import Evaluation
import Glibc
import Model
import Quantizer
import TestSupport
import Testing

@Suite struct CalibrationTests {
    private static let contextLength = 96

    private func calibrate(_ type: String, chunk: Int? = nil, expertSlots: Int? = nil, threads: Int = 2) throws
        -> (matrix: ImportanceMatrix, text: EvaluationText)
    {
        let text = try EvaluationText(
            path: DemoModel.text, container: DemoModel.container(type), contextLength: Self.contextLength)
        let model = try DemoModel.load(
            type, context: Self.contextLength, chunk: chunk, expertSlots: expertSlots, threads: threads)
        let progress = TextProgress(totalTokenCount: text.tokenCount)
        let matrix = try Calibration.run(model, text: text, progress: progress)
        #expect(progress.tokenCount == text.tokenCount)
        return (matrix, text)
    }

    /// The inputs that can be had without the forward pass: from hidden states and the checkpoint's norms.
    @Test func sumsEqualThoseOfTheHiddenStates() throws {
        let (matrix, text) = try calibrate("f32")
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let shape = checkpoint.configuration
        let model = try DemoModel.load("f32", context: Self.contextLength)
        var streams = [[Double]](repeating: Array(repeating: 0, count: shape.hiddenSize), count: shape.layerCount + 1)
        let norms = try (0..<shape.layerCount).map { try floats(checkpoint, .attentionNorm, layer: $0) }
        for chunk in text.chunks {
            let trace = try Trace(Trace.Request(tokens: Array(chunk)), model: model)
            for index in 0...shape.layerCount {
                for position in 0..<chunk.count {
                    let start = (index * chunk.count + position) * shape.hiddenSize
                    let row = trace.hiddenStates[start..<start + shape.hiddenSize].map(Double.init)
                    let normed = index < shape.layerCount ? norm(row, norms[index], shape.normEpsilon) : row
                    for (column, value) in normed.enumerated() { streams[index][column] += value * value }
                }
            }
        }
        for layer in 0..<shape.layerCount {
            for role in [TensorRole.queryDown, .keyValueDown] {
                let moments = try #require(matrix.moments[.tensor(TensorKey(role, layer: layer))])
                #expect(moments.counts == [text.tokenCount])
                expectEqual(moments.sums, streams[layer])
            }
        }
        let output = try #require(matrix.moments[.tensor(TensorKey(.outputHead))])
        expectEqual(output.sums, streams[shape.layerCount])
    }

    /// What goes into `down`, from what went into gate and up, with the checkpoint's weights.
    @Test func intermediatesAreThoseOfTheCheckpointsWeights() throws {
        let (matrix, text) = try calibrate("f32")
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        let recorder = RowRecorder()
        let model = try DemoModel.load("f32", context: Self.contextLength)
        for chunk in text.chunks {
            try model.prefill(chunk, state: model.makeState(), observer: recorder)
        }
        let expert = ExpertKey(layer: 2, expert: 7)
        let source = try #require(checkpoint.experts.first { $0.key == expert })
        let dense = TensorKey(.denseDown, layer: 0)
        let cases: [(rows: [[Float]], gate: SourceMatrix, up: SourceMatrix, sums: ArraySlice<Float>, count: Int)] = [
            (
                recorder.rows[.feedForward(layer: 0)] ?? [], try matrixSource(checkpoint, .denseGate, 0),
                try matrixSource(checkpoint, .denseUp, 0), try #require(matrix.moments[.tensor(dense)]).sums[...],
                matrix.count(for: dense)
            ),
            (
                recorder.rows[.expert(expert)] ?? [], source.gate, source.up,
                try #require(matrix.moments[.experts(layer: 2, .down)]).row(7), matrix.count(for: expert, .down)
            ),
        ]
        for (rows, gate, up, sums, count) in cases {
            try #require(rows.count > 20)
            #expect(count == rows.count)
            let (gateRows, upRows) = (try all(gate), try all(up))
            var expected = [Double](repeating: 0, count: gate.rows)
            for row in rows {
                for index in 0..<gate.rows {
                    let (g, u) = (dot(gateRows, index, row), dot(upRows, index, row))
                    let value = g / (1 + exp(-g)) * u
                    expected[index] += value * value
                }
            }
            expectEqual(sums, expected)
        }
    }

    @Test func everyTokenReachesItsShareOfExperts() throws {
        let (matrix, text) = try calibrate("f32")
        let model = try DemoModel.container("f32").metadata.configuration
        let experts = try #require(model.experts)
        #expect(matrix.missing(from: model).isEmpty)
        for layer in model.sparseLayers.indices where model.sparseLayers[layer] {
            let moments = try #require(matrix.moments[.experts(layer: layer, .gateUp)])
            #expect(moments.counts.reduce(0, +) == text.tokenCount * experts.expertsPerToken)
            let shared = try #require(matrix.moments[.tensor(TensorKey(.sharedGate, layer: layer))])
            // Every row of the layer's input is counted once by each expert that it reaches.
            var sums = [Double](repeating: 0, count: model.hiddenSize)
            for row in moments.counts.indices {
                for (column, value) in moments.row(row).enumerated() { sums[column] += Double(value) }
            }
            expectEqual(shared.sums, sums.map { $0 / Double(experts.expertsPerToken) })
        }
    }

    @Test func doesNotDependOnChunksThreadsOrMemory() throws {
        let whole = try calibrate("int8").matrix
        let pieces = try calibrate("int8", chunk: 7, expertSlots: 6, threads: 1).matrix
        #expect(whole == pieces)
        #expect(whole.fingerprint == pieces.fingerprint)
        #expect(try calibrate("f32").matrix.fingerprint != whole.fingerprint)
    }

    // MARK: The slow and obvious way

    private final class RowRecorder: ForwardObserver {
        let observesLogits = false
        let observesInputs = true
        var rows: [MatrixInput: [[Float]]] = [:]

        func observe(input row: Span<Float>, of place: MatrixInput) {
            rows[place, default: []].append(row.indices.map { row[$0] })
        }
    }

    private func norm(_ row: [Double], _ weight: [Float], _ epsilon: Float) -> [Double] {
        let mean = row.reduce(0) { $0 + $1 * $1 } / Double(row.count)
        let scale = 1 / (mean + Double(epsilon)).squareRoot()
        return zip(row, weight).map { $0 * scale * Double($1) }
    }

    private func dot(_ matrix: [Float], _ index: Int, _ row: [Float]) -> Double {
        var sum = 0.0
        for column in row.indices { sum += Double(matrix[index * row.count + column]) * Double(row[column]) }
        return sum
    }

    private func matrixSource(_ checkpoint: Checkpoint, _ role: TensorRole, _ layer: Int) throws -> SourceMatrix {
        let key = TensorKey(role, layer: layer)
        return try #require(checkpoint.tensors.first { $0.requirement.key == key }).matrix
    }

    private func floats(_ checkpoint: Checkpoint, _ role: TensorRole, layer: Int) throws -> [Float] {
        try all(try matrixSource(checkpoint, role, layer))
    }

    private func all(_ matrix: SourceMatrix) throws -> [Float] {
        var values = [Float](repeating: 0, count: matrix.rows * matrix.columns)
        try values.withUnsafeMutableBufferPointer { try matrix.readRows(0..<matrix.rows, into: $0) }
        return values
    }

    private func expectEqual(
        _ values: some Collection<Float>, _ expected: [Double], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(values.count == expected.count, sourceLocation: sourceLocation)
        let worst = zip(values, expected).map { relativeDifference(Double($0), $1) }.max() ?? .infinity
        #expect(worst < 1e-4, sourceLocation: sourceLocation)
    }
}
