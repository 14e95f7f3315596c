import Checkpoint
import Compute
package import Container

/// Sums what encoding lost, by layer and kind of matrix.
package struct LossTable: Sendable {
    private struct Key: Hashable {
        /// −1 for the model's own tensors.
        var layer: Int
        var kind: String
    }

    private var sums: [Key: (loss: MatrixEncoder.Loss, matrixCount: Int)] = [:]

    /// - Parameter losses: one a part, in the unit's order.
    mutating func add(_ unit: ConversionUnit, _ losses: [MatrixEncoder.Loss]) {
        let layer: Int
        let kinds: [String]
        switch unit.content {
        case .tensor(let tensor, _, _, _):
            layer = tensor.requirement.key.layer ?? -1
            kinds = [tensor.requirement.key.role.name]
        case .expert(let expert, _, _):
            layer = expert.key.layer
            kinds = ["experts.gate", "experts.up", "experts.down"].suffix(unit.parts.count).map(\.self)
        }
        for (index, loss) in losses.enumerated() where unit.parts[index].encoder.shape.format != .f32 {
            add(loss, layer, kinds[index])
            if let coarse = loss.coarse { add(coarse, layer, kinds[index] + ".coarse") }
        }
    }

    private mutating func add(_ loss: MatrixEncoder.Loss, _ layer: Int, _ kind: String) {
        var sum = sums[Key(layer: layer, kind: kind)] ?? (MatrixEncoder.Loss(), 0)
        sum.loss += loss
        sum.matrixCount += 1
        sums[Key(layer: layer, kind: kind)] = sum
    }

    /// By layer, the model's own first, then by kind.
    package var recorded: [RecordedLoss] {
        sums.sorted { ($0.key.layer, $0.key.kind) < ($1.key.layer, $1.key.kind) }.map { key, sum in
            RecordedLoss(
                layer: key.layer < 0 ? nil : key.layer, kind: key.kind, matrixCount: sum.matrixCount,
                relativeError: sum.loss.relative)
        }
    }
}
