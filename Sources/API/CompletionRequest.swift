/// The body of `POST /v1/completions`: text in, its continuation out, without a chat template.
package struct CompletionRequest: Codable, Sendable, Equatable {
    package var model: String?
    package var prompt: String
    package var stream: Bool?
    package var streamOptions: StreamOptions?
    package var maxTokens: Int?
    package var temperature: Double?
    package var topP: Double?
    package var topK: Int?
    package var minP: Double?
    package var repetitionPenalty: Double?
    package var presencePenalty: Double?
    package var frequencyPenalty: Double?
    package var seed: Int?
    package var stop: StopStrings?
    /// How many alternatives a token carries beside itself.
    package var logprobs: Int?
    /// The answer begins with the prompt.
    package var echo: Bool?
    package var moed: LossyOptions?

    package init(model: String? = nil, prompt: String) {
        self.model = model
        self.prompt = prompt
    }

    private enum CodingKeys: String, CodingKey {
        case model
        case prompt
        case stream
        case streamOptions = "stream_options"
        case maxTokens = "max_tokens"
        case temperature
        case topP = "top_p"
        case topK = "top_k"
        case minP = "min_p"
        case repetitionPenalty = "repetition_penalty"
        case presencePenalty = "presence_penalty"
        case frequencyPenalty = "frequency_penalty"
        case seed
        case stop
        case logprobs
        case echo
        case moed
    }
}
