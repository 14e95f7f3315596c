import Checkpoint
import Compute
import Container

extension ConversionUnit {
    /// The unit with encoders that follow `options`. Reads some rows to choose the code tables.
    ///
    /// - Throws: `CheckpointError`, `QuantizerError`.
    func prepared(_ options: EncodingOptions) throws -> ConversionUnit {
        switch content {
        case .tensor(let tensor, let shape, _, let rows):
            // What is made in pieces has no codes to choose.
            guard shape.format.isQuantized else { return self }
            let settings = EncoderSettings(
                shape, options, weights: options.importance?.weights(for: tensor.requirement.key),
                compensation: try options.compensation(of: tensor, shape))
            return ConversionUnit(
                tensor, shape, tables, rows: rows, try settings.encoder(for: [tensor.matrix], table: tables.first))
        case .expert(let expert, let layout, let refinement):
            let importance = options.importance
            let gateUp = EncoderSettings(
                layout.gateShape, options, weights: importance?.weights(for: expert.key, .gateUp),
                compensation: try options.compensation(of: expert, .gateUp, layout.gateShape),
                stride: layout.gateUpStride,
                refinementStride: refinement?.refinesGateUp == true ? refinement?.gateUpStride : nil)
            let down = EncoderSettings(
                layout.downShape, options, weights: importance?.weights(for: expert.key, .down),
                compensation: try options.compensation(of: expert, .down, layout.downShape),
                refinementStride: refinement?.refinesDown == true ? refinement?.downStride : nil)
            return ConversionUnit(
                expert, layout, refinement, tables,
                gateUp: try gateUp.encoder(for: expert.gateUp, table: tables.first),
                down: try down.encoder(for: [expert.down], table: tables.down))
        }
    }
}
