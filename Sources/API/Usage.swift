/// What a request cost, in tokens.
package struct Usage: Codable, Sendable, Equatable {
    package var promptTokens: Int
    package var completionTokens: Int
    package var totalTokens: Int
    /// DeepSeek's split of the prompt; the two add up to `promptTokens`.
    package var promptCacheHitTokens: Int
    package var promptCacheMissTokens: Int
    package var promptTokensDetails: PromptDetails
    package var completionTokensDetails: CompletionDetails
    /// How often one of these tokens was left out in a layer because its expert was full; absent where experts take any number.
    package var droppedTokens: Int?

    package init(
        promptTokens: Int, cachedTokens: Int = 0, completionTokens: Int, reasoningTokens: Int,
        droppedTokens: Int? = nil
    ) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        totalTokens = promptTokens + completionTokens
        promptCacheHitTokens = cachedTokens
        promptCacheMissTokens = promptTokens - cachedTokens
        promptTokensDetails = PromptDetails(cachedTokens: cachedTokens)
        completionTokensDetails = CompletionDetails(reasoningTokens: reasoningTokens)
        self.droppedTokens = droppedTokens
    }

    private enum CodingKeys: String, CodingKey {
        case promptTokens = "prompt_tokens"
        case completionTokens = "completion_tokens"
        case totalTokens = "total_tokens"
        case promptCacheHitTokens = "prompt_cache_hit_tokens"
        case promptCacheMissTokens = "prompt_cache_miss_tokens"
        case promptTokensDetails = "prompt_tokens_details"
        case completionTokensDetails = "completion_tokens_details"
        case droppedTokens = "dropped_tokens"
    }

    package struct PromptDetails: Codable, Sendable, Equatable {
        package var cachedTokens: Int

        private enum CodingKeys: String, CodingKey {
            case cachedTokens = "cached_tokens"
        }
    }

    package struct CompletionDetails: Codable, Sendable, Equatable {
        package var reasoningTokens: Int

        private enum CodingKeys: String, CodingKey {
            case reasoningTokens = "reasoning_tokens"
        }
    }
}
