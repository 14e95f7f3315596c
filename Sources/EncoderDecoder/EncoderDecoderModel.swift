import Compute
package import Container
package import ExpertPaging
package import Model

/// A model that makes one text of another (T5, arXiv 1910.10683; Switch Transformers, arXiv 2101.03961): the encoder takes
/// the whole prompt in at once, and the decoder, which attends to what the encoder made of it, writes the answer token by
/// token.
///
/// Weights, threads, experts, feed-forwards and norms are a `LoadedModel`'s. What is different stands here: attention with a
/// position bias, attention across, and the order in which it all happens.
package final class EncoderDecoderModel: @unchecked Sendable {
    // @unchecked: everything but the input's memory is immutable or the model's, which traps when it is stepped twice.

    let model: LoadedModel
    let shape: ModelConfiguration.RelativeAttention
    let encoder: ModelConfiguration.Encoder
    let tensors: ResidentTensors.Encoder
    let encoderBias: PositionBias
    let decoderBias: PositionBias
    let input: InputMemory

    /// - Throws: `ModelError` if the model is a decoder alone, or for lack of memory.
    package init(_ model: LoadedModel) throws(ModelError) {
        guard case .relative(let shape) = model.configuration.attention, let encoder = model.configuration.encoder,
            let tensors = model.weights.encoder
        else {
            throw ModelError(.unsupported, "the model has no encoder")
        }
        self.model = model
        self.shape = shape
        self.encoder = encoder
        self.tensors = tensors
        encoderBias = unsafe PositionBias(tensors.positionBias, shape, isBidirectional: true)
        decoderBias = unsafe PositionBias(tensors.decoderPositionBias, shape, isBidirectional: false)
        input = try InputMemory(
            tokenCount: model.plan.contextLength, hiddenSize: model.configuration.hiddenSize, size: shape.size)
    }

    /// Elements of queries, keys and values: all heads.
    var size: Int { shape.size }
    var hiddenSize: Int { model.configuration.hiddenSize }
    /// The decoder's first layer.
    var firstDecoderLayer: Int { encoder.layerCount }
}

extension EncoderDecoderModel: LanguageModel {
    package var configuration: ModelConfiguration { model.configuration }
    package var plan: MemoryPlan { model.plan }
    package var experts: ExpertStore { model.experts }

    /// The start token takes a position beside them.
    package var contextLength: Int { plan.contextLength - 1 }
    /// Every token of the input sees those behind it.
    package var sharesPrefixes: Bool { false }

    package func makeCache() throws(ModelError) -> KeyValueCache { try model.makeCache() }

    package var logits: UnsafeBufferPointer<Float> { unsafe model.logits }

    package func logits(of step: SequenceStep) -> UnsafeBufferPointer<Float> { unsafe model.logits(of: step) }
}
