import Checkpoint
import Compute
import Container
import Synchronization

/// What each type would lose in each group of a model's matrices, measured on some of their rows.
struct ErrorSurvey {
    /// From coarse to fine.
    static let ladder: [ConversionType] = [.int4, .int8, .bf16]

    /// ‖x − x̂‖² / ‖x‖² by group and step of the ladder, columns weighted by the importance matrix where there is one.
    let errors: [[Double]]

    /// Experts of a layer that stand for all.
    private static let expertCount = 8
    /// Rounding to eight significant bits loses at most 2⁻⁹ of a value, and on average a third of its square.
    private static let bf16Error = 1.27e-6

    /// - Throws: `CheckpointError`, or `QuantizerError` when it is cancelled.
    init(
        _ checkpoint: Checkpoint, _ inventory: WeightInventory, importance: ImportanceMatrix?, pool: ThreadPool,
        cancellation: Cancellation
    ) throws {
        // Always by the search: the types shouldn't change with the method that they are compared under.
        let options = EncodingOptions(importance: importance)
        let samples = inventory.groups.map { Self.samples(of: $0, checkpoint, importance) }
        let results = Mutex((errors: samples.map { _ in [Double]() }, failure: (any Error)?.none))
        pool.forEach(samples.count) { index in
            guard !cancellation.isRequested, results.withLock({ $0.failure == nil }) else { return }
            do {
                let errors = try Self.ladder.map { try Self.error(of: samples[index], $0, options) }
                results.withLock { $0.errors[index] = errors }
            } catch {
                results.withLock { $0.failure = $0.failure ?? error }
            }
        }
        try cancellation.check()
        errors = try results.withLock { results in
            if let failure = results.failure { throw failure }
            return results.errors
        }
    }

    private struct Sample {
        var source: SourceMatrix
        var weights: [Float]?
    }

    private static func samples(
        of group: WeightInventory.Group, _ checkpoint: Checkpoint, _ importance: ImportanceMatrix?
    ) -> [Sample] {
        guard group.kind.isRoutedExpert else {
            return checkpoint.tensors.filter {
                $0.requirement.key.layer == group.layer && WeightKind($0.requirement.key.role) == group.kind
            }.map { Sample(source: $0.matrix, weights: importance?.weights(for: $0.requirement.key)) }
        }
        let experts = checkpoint.experts.filter { $0.key.layer == group.layer }
        let count = min(expertCount, experts.count)
        return (0..<count).map { experts[$0 * experts.count / count] }.flatMap { expert in
            if group.kind == .expertDown {
                return [Sample(source: expert.down, weights: importance?.weights(for: expert.key, .down))]
            }
            let weights = importance?.weights(for: expert.key, .gateUp)
            return expert.gateUp.map { Sample(source: $0, weights: weights) }
        }
    }

    private static func error(of samples: [Sample], _ type: ConversionType, _ options: EncodingOptions) throws -> Double
    {
        var sum = MatrixEncoder.Loss()
        for sample in samples {
            let source = sample.source
            let format = FormatPlan.fitting(type.format, columns: source.columns)
            guard format.isQuantized else { return bf16Error }
            // What is taken over as it is loses nothing.
            if source.isTakenOver(as: format) { return 0 }
            let shape = MatrixShape(rows: source.rows, columns: source.columns, format: format, layout: .panels)
            let settings = EncoderSettings(shape, options, weights: sample.weights)
            let encoder = try settings.encoder(for: [source])
            try unsafe source.forEach(of: settings.sample) { start, rowCount in
                // What no scale can hold is reported, with its name, where it is encoded.
                if let loss = unsafe encoder.loss(of: start, rows: rowCount) { sum += loss }
            }
        }
        return sum.weightedEnergy > 0 ? sum.weightedError / sum.weightedEnergy : 0
    }
}
