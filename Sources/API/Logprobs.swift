/// How probable the tokens of a chat answer were.
package struct ChatLogprobs: Codable, Sendable, Equatable {
    package var content: [Token]

    package init(content: [Token]) {
        self.content = content
    }

    package struct Token: Codable, Sendable, Equatable {
        package var token: String
        /// The token's own bytes, which needn't be whole characters.
        package var bytes: [UInt8]
        /// Natural logarithm.
        package var logprob: Double
        package var topLogprobs: [Alternative]

        package init(token: String, bytes: [UInt8], logprob: Double, topLogprobs: [Alternative]) {
            self.token = token
            self.bytes = bytes
            self.logprob = logprob
            self.topLogprobs = topLogprobs
        }

        private enum CodingKeys: String, CodingKey {
            case token
            case bytes
            case logprob
            case topLogprobs = "top_logprobs"
        }
    }

    package struct Alternative: Codable, Sendable, Equatable {
        package var token: String
        package var bytes: [UInt8]
        package var logprob: Double

        package init(token: String, bytes: [UInt8], logprob: Double) {
            self.token = token
            self.bytes = bytes
            self.logprob = logprob
        }
    }
}

/// How probable the tokens of a plain completion were: parallel arrays, one entry a token.
package struct CompletionLogprobs: Codable, Sendable, Equatable {
    package var tokens: [String]
    package var tokenLogprobs: [Double]
    package var topLogprobs: [[String: Double]]
    /// Where each token begins in the text, in characters (Unicode scalars).
    package var textOffset: [Int]

    package init(
        tokens: [String], tokenLogprobs: [Double], topLogprobs: [[String: Double]], textOffset: [Int]
    ) {
        self.tokens = tokens
        self.tokenLogprobs = tokenLogprobs
        self.topLogprobs = topLogprobs
        self.textOffset = textOffset
    }

    private enum CodingKeys: String, CodingKey {
        case tokens
        case tokenLogprobs = "token_logprobs"
        case topLogprobs = "top_logprobs"
        case textOffset = "text_offset"
    }
}
