import API
import Container
import Generation
import Glibc
import Hummingbird
import HummingbirdCore
import Model

/// The two endpoints that make text.
struct CompletionEndpoints: Sendable {
    let model: ServedModel
    let reader: RequestReader
    private let chatFields: FieldTable
    private let plainFields: FieldTable

    init(model: ServedModel, limits: ServerLimits) {
        self.model = model
        reader = RequestReader(limits: limits)
        chatFields = RequestFields.chatCompletion(limits)
        plainFields = RequestFields.completion(limits)
    }

    func chat(_ request: Request, _ connection: RequestConnection) async throws -> Response {
        let (body, prompt, constraint) = try await reader.read(
            ChatCompletionRequest.self, from: request, fields: chatFields
        ) { body, json in
            try check(model: body.model)
            if body.topLogprobs != nil, body.logprobs != true {
                throw APIError.invalid("top_logprobs", "top_logprobs: needs 'logprobs': true")
            }
            let prompt = try model.prompt(of: body, json)
            return (body, prompt, try model.constraint(of: json, prompt))
        }
        let lossy = model.lossy.merging(body.moed)
        var generation = GenerationRequest(
            promptTokens: prompt.tokens, sampling: sampling(body),
            maximumTokens: body.maxCompletionTokens ?? body.maxTokens, stop: body.stop?.strings ?? [],
            alternativeCount: body.logprobs == true ? body.topLogprobs ?? 0 : nil, lossy: lossy)
        let mayThink = !prompt.startsInsideReasoning && model.syntax.mayThink
        generation.reasoningEndToken = prompt.startsInsideReasoning || mayThink ? model.reasoningEndToken : nil
        generation.reasoningBeginToken = mayThink ? model.reasoningBeginToken : nil
        generation.shownTokens = Set(
            model.syntax.visibleTokens(model.tokenizer, usesTools: !prompt.tools.definitions.isEmpty).values)
        generation.constraint = constraint
        generation.continuesText = prompt.continuesText
        let stream = try submit(generation, promptField: "messages")
        let writer = ChatAnswer(
            identity: identity(prefix: "chatcmpl-", lossy), includesUsage: body.streamOptions?.includeUsage ?? false,
            includesLogprobs: body.logprobs ?? false, isReasoning: prompt.startsInsideReasoning,
            reader: model.syntax.reader(
                isReasoning: prompt.startsInsideReasoning, tools: prompt.tools.definitions),
            choice: prompt.tools.choice)
        let delivery = AnswerDelivery(stream: stream, writer: writer, connection: connection)
        return body.stream == true ? delivery.streamed() : try await delivery.whole()
    }

    func plain(_ request: Request, _ connection: RequestConnection) async throws -> Response {
        let (body, prompt) = try await reader.read(
            CompletionRequest.self, from: request, fields: plainFields
        ) { body, _ in
            try check(model: body.model)
            return (body, try model.prompt(of: body))
        }
        let lossy = model.lossy.merging(body.moed)
        var generation = GenerationRequest(
            promptTokens: prompt.tokens, sampling: sampling(body), maximumTokens: body.maxTokens ?? 16,
            stop: body.stop?.strings ?? [], alternativeCount: body.logprobs, lossy: lossy)
        generation.continuesText = prompt.continuesText
        let stream = try submit(generation, promptField: "prompt")
        let writer = CompletionAnswer(
            identity: identity(prefix: "cmpl-", lossy), includesUsage: body.streamOptions?.includeUsage ?? false,
            includesLogprobs: body.logprobs != nil, echo: body.echo == true ? body.prompt : nil)
        let delivery = AnswerDelivery(stream: stream, writer: writer, connection: connection)
        return body.stream == true ? delivery.streamed() : try await delivery.whole()
    }

    private func check(model name: String?) throws(APIError) {
        if let name, name != model.id { throw .modelNotFound(name, available: model.id) }
    }

    /// Everything that can be refused is refused here, while the status can still say so.
    private func submit(_ request: GenerationRequest, promptField: String) throws(APIError) -> GenerationStream {
        guard !request.promptTokens.isEmpty else {
            throw .invalid(promptField, "\(promptField): there is nothing to continue")
        }
        do {
            return try model.engine.submit(request)
        } catch {
            var refusal = APIError(error)
            if error.code == .contextLengthExceeded { refusal.details.param = promptField }
            throw refusal
        }
    }

    private func identity(prefix: String, _ lossy: LossyRouting) -> AnswerIdentity {
        AnswerIdentity(
            id: RequestIdentifier.next(prefix: prefix), created: time(nil), model: model.id,
            fingerprint: model.facts.fingerprint, lossy: lossy)
    }
}

/// The sampling fields, which both requests have.
private protocol SamplingFields {
    var temperature: Double? { get }
    var topP: Double? { get }
    var topK: Int? { get }
    var minP: Double? { get }
    var repetitionPenalty: Double? { get }
    var presencePenalty: Double? { get }
    var frequencyPenalty: Double? { get }
    var seed: Int? { get }
}

extension ChatCompletionRequest: SamplingFields {}
extension CompletionRequest: SamplingFields {}

extension CompletionEndpoints {
    private func sampling(_ fields: some SamplingFields) -> SamplingParameters {
        let defaults = model.defaults
        return SamplingParameters(
            temperature: fields.temperature ?? defaults.temperature ?? 1,
            // -1 is what other servers call "all".
            topK: max(0, fields.topK ?? defaults.topK ?? 0),
            // 0 means the likeliest token alone, which the smallest sum also is.
            topP: max(fields.topP ?? defaults.topP ?? 1, .leastNormalMagnitude),
            minP: fields.minP ?? defaults.minP ?? 0,
            repetitionPenalty: fields.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
            presencePenalty: fields.presencePenalty ?? 0, frequencyPenalty: fields.frequencyPenalty ?? 0,
            seed: fields.seed.map { UInt64(bitPattern: Int64($0)) })
    }
}
