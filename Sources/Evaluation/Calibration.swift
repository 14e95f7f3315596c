import Compute
import Container
package import Model
package import Quantizer

/// Runs a model over a text and records the second moments of the inputs of its matrices.
package enum Calibration {
    /// - Throws: `ModelError`, with the code `cancelled` when `cancelled` says so.
    package static func run(
        _ model: LoadedModel, text: EvaluationText, progress: TextProgress, cancelled: () -> Bool = { false }
    ) throws -> ImportanceMatrix {
        let recorder = MomentRecorder(model.configuration)
        try read(text, model, recorder, progress, cancelled)
        return try recorder.matrix(origin(of: text))
    }

    /// The same with second-order matrices, for `--method gptq`, written to `path`.
    ///
    /// The text is read as often as `passes` says; each time as many of them are recorded as memory holds.
    ///
    /// - Throws: `ModelError`, `EvaluationError`, or `CheckpointError` if the file can't be written.
    package static func run(
        _ model: LoadedModel, text: EvaluationText, passes: HessianPasses, to path: String, threadCount: Int,
        progress: TextProgress, cancelled: () -> Bool = { false }
    ) throws -> ImportanceMatrix {
        let moments = MomentRecorder(model.configuration)
        let writer = try HessianWriter(
            path: path, model: model.configuration, origin: origin(of: text), hessians: passes.inputs)
        let pool = ThreadPool(threadCount: threadCount)
        for (number, inputs) in passes.passes.enumerated() {
            let recorder = try HessianRecorder(inputs, pool: pool, beside: number == 0 ? moments : nil)
            try read(text, model, recorder, progress, cancelled)
            try recorder.write(to: writer)
        }
        let matrix = try moments.matrix(origin(of: text))
        try writer.finish(matrix)
        return matrix
    }

    private static func origin(of text: EvaluationText) -> ImportanceMatrix.Origin {
        ImportanceMatrix.Origin(
            textChecksums: [text.identity.checksum], textNames: [text.identity.name],
            contextLength: text.contextLength, tokenCount: text.tokenCount)
    }

    private static func read(
        _ text: EvaluationText, _ model: LoadedModel, _ observer: any ForwardObserver, _ progress: TextProgress,
        _ cancelled: () -> Bool
    ) throws {
        let state = try model.makeState()
        for chunk in text.chunks {
            state.reset()
            try model.prefill(chunk, state: state, observer: observer, cancelled: cancelled)
            progress.advance(chunk.count)
        }
    }
}

/// Σ x² of every input, in f64, with the tokens of each.
final class MomentRecorder: ForwardObserver {
    let observesLogits = false
    let observesInputs = true
    private let configuration: ModelConfiguration
    private var sums: [MatrixInput: Sums] = [:]

    private struct Sums {
        var squares: [Double]
        var count = 0

        mutating func add(_ row: Span<Float>) {
            for column in row.indices { squares[column] += Double(row[column]) * Double(row[column]) }
            count += 1
        }
    }

    init(_ configuration: ModelConfiguration) { self.configuration = configuration }

    func observe(input row: Span<Float>, of place: MatrixInput) {
        let columns = row.count
        sums[place, default: Sums(squares: Array(repeating: 0, count: columns))].add(row)
    }

    /// - Throws: `notFinite` if an input was infinite or no number.
    func matrix(_ origin: ImportanceMatrix.Origin) throws(EvaluationError) -> ImportanceMatrix {
        var moments: [ImportanceMatrix.Key: ImportanceMatrix.Moments] = [:]
        for (key, shape) in ImportanceMatrix.inputs(of: configuration) {
            var squares: [Float] = []
            var counts: [Int] = []
            for row in 0..<shape.rows {
                guard let place = key.place(row: row), let recorded = sums[place] else {
                    squares += Array(repeating: 0, count: shape.columns)
                    counts.append(0)
                    continue
                }
                let values = recorded.squares.map { Float($0) }
                guard values.allSatisfy(\.isFinite) else {
                    throw EvaluationError(.notFinite, "the inputs of \(key) aren't all finite numbers")
                }
                squares += values
                counts.append(recorded.count)
            }
            moments[key] = ImportanceMatrix.Moments(columnCount: shape.columns, sums: squares, counts: counts)
        }
        return ImportanceMatrix(moments: moments, origin: origin)
    }
}

extension ImportanceMatrix.Key {
    /// Where the forward pass meets this input; `row` is the expert. nil for what isn't a matrix with inputs.
    package func place(row: Int) -> MatrixInput? {
        switch self {
        case .experts(let layer, .gateUp): .expert(ExpertKey(layer: layer, expert: row))
        case .experts(let layer, .down): .expertIntermediate(ExpertKey(layer: layer, expert: row))
        case .tensor(let key): HessianKey(ofMatrix: key)?.place
        }
    }
}
