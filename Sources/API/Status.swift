/// The answer of `GET /moed/status`.
package struct Status: Codable, Sendable, Equatable {
    package var version: String
    package var uptimeSeconds: Double
    package var state: State
    package var model: Model
    package var queue: Queue
    package var throughput: Throughput
    package var memory: Memory
    package var paging: Paging
    /// What isn't as it should be, in words; nil from daemons that don't say.
    package var conditions: [String]?

    package init(
        version: String, uptimeSeconds: Double, state: State, model: Model, queue: Queue, throughput: Throughput,
        memory: Memory, paging: Paging, conditions: [String]? = nil
    ) {
        self.version = version
        self.uptimeSeconds = uptimeSeconds
        self.state = state
        self.model = model
        self.queue = queue
        self.throughput = throughput
        self.memory = memory
        self.paging = paging
        self.conditions = conditions
    }

    private enum CodingKeys: String, CodingKey {
        case version
        case uptimeSeconds = "uptime_seconds"
        case state
        case model
        case queue
        case throughput
        case memory
        case paging
        case conditions
    }

    /// What the engine does now.
    package enum State: String, Codable, Sendable {
        case idle
        case prefill
        case decode
        case draining
    }

    package struct Model: Codable, Sendable, Equatable {
        package var id: String
        package var path: String
        package var family: String
        /// The quantisation it was converted with, such as `int4`.
        package var format: String
        package var parameterCount: Int
        package var activeParameterCount: Int
        package var fileByteCount: Int
        package var contextLength: Int
        package var fingerprint: String

        package init(
            id: String, path: String, family: String, format: String, parameterCount: Int, activeParameterCount: Int,
            fileByteCount: Int, contextLength: Int, fingerprint: String
        ) {
            self.id = id
            self.path = path
            self.family = family
            self.format = format
            self.parameterCount = parameterCount
            self.activeParameterCount = activeParameterCount
            self.fileByteCount = fileByteCount
            self.contextLength = contextLength
            self.fingerprint = fingerprint
        }

        private enum CodingKeys: String, CodingKey {
            case id
            case path
            case family
            case format
            case parameterCount = "parameter_count"
            case activeParameterCount = "active_parameter_count"
            case fileByteCount = "file_bytes"
            case contextLength = "context_length"
            case fingerprint
        }
    }

    package struct Queue: Codable, Sendable, Equatable {
        package var running: Int
        package var waiting: Int
        package var limit: Int

        package init(running: Int, waiting: Int, limit: Int) {
            self.running = running
            self.waiting = waiting
            self.limit = limit
        }
    }

    package struct Throughput: Codable, Sendable, Equatable {
        package var requestCount: Int
        package var promptTokenCount: Int
        package var completionTokenCount: Int
        /// How often a token was left out in a layer because its expert was full; nil where experts take any number.
        package var droppedTokenCount: Int?
        /// Of the prompt that was computed last; nil before the first.
        package var prefillTokensPerSecond: Double?
        /// Of late, all answers together; nil before the first.
        package var decodeTokensPerSecond: Double?

        package init(
            requestCount: Int, promptTokenCount: Int, completionTokenCount: Int, prefillTokensPerSecond: Double?,
            decodeTokensPerSecond: Double?, droppedTokenCount: Int? = nil
        ) {
            self.requestCount = requestCount
            self.promptTokenCount = promptTokenCount
            self.completionTokenCount = completionTokenCount
            self.droppedTokenCount = droppedTokenCount
            self.prefillTokensPerSecond = prefillTokensPerSecond
            self.decodeTokensPerSecond = decodeTokensPerSecond
        }

        private enum CodingKeys: String, CodingKey {
            case requestCount = "requests"
            case promptTokenCount = "prompt_tokens"
            case completionTokenCount = "completion_tokens"
            case droppedTokenCount = "dropped_tokens"
            case prefillTokensPerSecond = "prefill_tokens_per_second"
            case decodeTokensPerSecond = "decode_tokens_per_second"
        }
    }
}
