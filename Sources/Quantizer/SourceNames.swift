package import Checkpoint
import Container

/// The names that a checkpoint has for a model's matrices; empty without a checkpoint.
package struct SourceNames: Sendable {
    private var tensors: [TensorKey: String] = [:]
    private var experts: [ExpertKey: [String]] = [:]

    package init() {}

    package init(_ checkpoint: Checkpoint) {
        for tensor in checkpoint.tensors { tensors[tensor.requirement.key] = tensor.matrix.name }
        for expert in checkpoint.experts {
            experts[expert.key] = [expert.gate.name, expert.up.name, expert.down.name]
        }
    }

    subscript(key: TensorKey) -> String? { tensors[key] }

    /// Gate's, up's and down's.
    subscript(key: ExpertKey) -> [String]? { experts[key] }
}
