/// What stands around the choices of every answer of `/v1/chat/completions` and `/v1/completions`, whole or one event
/// of a stream.
package struct CompletionEnvelope<Choice: CompletionChoice>: Codable, Sendable, Equatable {
    package var id: String
    package var object = Choice.object
    /// Seconds since 1970.
    package var created: Int
    package var model: String
    package var systemFingerprint: String?
    package var choices: [Choice]
    /// Always there in a whole answer; in a stream only in the last event, when asked for.
    package var usage: Usage?
    /// In a whole answer or a stream's last event, if the answer was made with lossy help.
    package var moed: LossyReport?

    package init(
        id: String, created: Int, model: String, systemFingerprint: String?, choices: [Choice], usage: Usage? = nil,
        moed: LossyReport? = nil
    ) {
        self.id = id
        self.created = created
        self.model = model
        self.systemFingerprint = systemFingerprint
        self.choices = choices
        self.usage = usage
        self.moed = moed
    }

    private enum CodingKeys: String, CodingKey {
        case id
        case object
        case created
        case model
        case systemFingerprint = "system_fingerprint"
        case choices
        case usage
        case moed
    }
}

/// One answer among those that an envelope holds.
package protocol CompletionChoice: Codable, Sendable, Equatable {
    /// The envelope's `object`, which tells the forms apart.
    static var object: String { get }
}
