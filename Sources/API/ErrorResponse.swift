/// The body of every refusal, and the event that ends a stream which failed.
package struct ErrorResponse: Codable, Sendable, Equatable {
    package var error: Details

    package init(_ error: Details) {
        self.error = error
    }

    package struct Details: Codable, Sendable, Equatable {
        package var message: String
        /// OpenAI's class of the error, such as `invalid_request_error`.
        package var type: String
        /// Which field of the request is meant.
        package var param: String?
        /// Which error it is, such as `context_length_exceeded`.
        package var code: String?

        package init(message: String, type: String, param: String? = nil, code: String? = nil) {
            self.message = message
            self.type = type
            self.param = param
            self.code = code
        }

        private enum CodingKeys: String, CodingKey {
            case message
            case type
            case param
            case code
        }

        /// All four keys are always there: the official client reads each.
        package func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(message, forKey: .message)
            try container.encode(type, forKey: .type)
            try container.encode(param, forKey: .param)
            try container.encode(code, forKey: .code)
        }
    }
}
