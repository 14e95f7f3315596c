import Checkpoint
import Compute
import Container

/// A matrix that `gptq` rounds without compensation, by the search instead.
package struct Uncompensated: Sendable, Equatable {
    /// The canonical name of a resident tensor, or of an expert's matrix.
    package var name: String
    package var reason: Reason

    package enum Reason: Sendable, Equatable {
        /// Nobody recorded its inputs' second-order matrix.
        case notRecorded
        /// Fewer tokens reached it than it has columns, so what they say of the columns' relations is chance.
        case fewTokens(Int)
    }
}

extension EncodingOptions {
    func compensation(of tensor: SourceTensor, _ shape: MatrixShape) throws -> Compensation? {
        let key = tensor.requirement.key
        guard mayCompensate(shape, tensor.matrix), obstacle(key, columns: shape.columns) == nil,
            let input = HessianKey(ofMatrix: key)
        else { return nil }
        // These are inputs of one matrix only.
        let isOwn = [.attentionOutput, .denseDown, .sharedDown, .queryUp, .keyValueUp, .outputHead].contains(key.role)
        return try importance?.hessians?.compensation(for: input, isShared: !isOwn)
    }

    func compensation(
        of expert: SourceExpert, _ input: ImportanceMatrix.ExpertInput, _ shape: MatrixShape
    ) throws -> Compensation? {
        guard mayCompensate(shape, input == .down ? expert.down : expert.gate),
            obstacle(expert.key, input, columns: shape.columns) == nil
        else { return nil }
        let key = input == .down ? HessianKey.expert(expert.key, .down) : HessianKey(ofLayer: expert.key.layer)
        return try importance?.hessians?.compensation(for: key, isShared: input == .gateUp)
    }

    /// Of a unit's matrices those that stay without compensation although the method has it.
    func uncompensated(_ unit: ConversionUnit) -> [Uncompensated] {
        guard method == .gptq else { return [] }
        switch unit.content {
        case .tensor(let tensor, let shape, _, _):
            let key = tensor.requirement.key
            // Rows of the embedding are looked up: it has no inputs.
            guard shape.format.isQuantized, !tensor.matrix.isTakenOver(as: shape.format), !key.role.isEmbedding
            else { return [] }
            return obstacle(key, columns: shape.columns).map { [Uncompensated(name: "\(key)", reason: $0)] } ?? []
        case .expert(let expert, let layout, _):
            let shapes = [(ImportanceMatrix.ExpertInput.gateUp, layout.gateShape), (.down, layout.downShape)]
            return shapes.compactMap { input, shape in
                let source = input == .down ? expert.down : expert.gate
                guard shape.format.isQuantized, !source.isTakenOver(as: shape.format) else { return nil }
                return obstacle(expert.key, input, columns: shape.columns).map {
                    Uncompensated(name: "\(expert.key).\(input == .down ? "down" : "{gate,up}")", reason: $0)
                }
            }
        }
    }

    /// Bytes of memory that a unit's factors take beside its own, those that are shared left out.
    func compensationByteCount(of unit: ConversionUnit) -> Int {
        guard method == .gptq else { return 0 }
        // Gate and up of a layer's experts share theirs.
        let own = unit.isExpert ? unit.parts.suffix(1) : unit.parts[...]
        return own.reduce(0) { sum, part in
            let columns = part.source.columns
            return sum + (mayCompensate(part.encoder.shape, part.source) ? Compensation.byteCount(columns: columns) : 0)
        }
    }

    private func mayCompensate(_ shape: MatrixShape, _ source: SourceMatrix) -> Bool {
        method == .gptq && shape.format.isQuantized && !source.isTakenOver(as: shape.format)
    }

    private func obstacle(_ key: TensorKey, columns: Int) -> Uncompensated.Reason? {
        obstacle(HessianKey(ofMatrix: key), tokenCount: importance?.count(for: key) ?? 0, columns: columns)
    }

    private func obstacle(
        _ expert: ExpertKey, _ input: ImportanceMatrix.ExpertInput, columns: Int
    ) -> Uncompensated.Reason? {
        guard input == .gateUp else {
            return obstacle(
                .expert(expert, .down), tokenCount: importance?.count(for: expert, .down) ?? 0, columns: columns)
        }
        // All of a layer's tokens speak for each of its experts.
        return obstacle(
            HessianKey(ofLayer: expert.layer), tokenCount: importance?.origin.tokenCount ?? 0, columns: columns)
    }

    private func obstacle(_ key: HessianKey?, tokenCount: Int, columns: Int) -> Uncompensated.Reason? {
        guard let key, importance?.hessians?.columns(of: key) == columns else { return .notRecorded }
        return tokenCount < columns ? .fewTokens(tokenCount) : nil
    }
}
