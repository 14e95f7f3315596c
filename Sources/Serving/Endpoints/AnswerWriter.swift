import API
import Generation
import Model

/// Puts an answer into one of the API's forms, event by event or whole. Every piece is one JSON text.
protocol AnswerWriter: Sendable {
    var identity: AnswerIdentity { get }

    /// What comes before the text.
    mutating func begin() -> [[UInt8]]
    mutating func append(_ delta: TextDelta) -> [[UInt8]]
    /// What is left of the text, the finish reason and, as the very last, the counts.
    mutating func finish(_ completion: Generation.Completion) -> [[UInt8]]
    /// The whole answer at once; the other functions aren't called then.
    mutating func whole(_ delta: TextDelta, _ completion: Generation.Completion) -> [UInt8]
}

extension AnswerWriter {
    /// An answer or an event of a stream with what stands around its choices.
    func encode<Choice: CompletionChoice>(
        _ choices: [Choice], usage: TokenUsage? = nil, lossy: LossyReport? = nil
    ) -> [UInt8] {
        WireJSON.encode(
            CompletionEnvelope(
                id: identity.id, created: identity.created, model: identity.model,
                systemFingerprint: identity.fingerprint, choices: choices, usage: usage?.wire, moed: lossy))
    }
}

/// What stands in every answer and every event of a stream.
struct AnswerIdentity: Sendable {
    var id: String
    /// Seconds since 1970.
    var created: Int
    var model: String
    var fingerprint: String
    /// What the answer is made with.
    var lossy = LossyRouting.off
}
