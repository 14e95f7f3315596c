/// The answer of `GET /v1/models`.
package struct ModelList: Codable, Sendable, Equatable {
    package var object = "list"
    package var data: [ModelDescription]

    package init(data: [ModelDescription]) {
        self.data = data
    }
}

/// The answer of `GET /v1/models/{id}`.
package struct ModelDescription: Codable, Sendable, Equatable {
    /// The file's stem.
    package var id: String
    package var object = "model"
    /// Seconds since 1970.
    package var created: Int
    package var ownedBy: String
    /// The longest prompt and answer together, in tokens, that this daemon holds.
    package var contextLength: Int

    package init(id: String, created: Int, ownedBy: String, contextLength: Int) {
        self.id = id
        self.created = created
        self.ownedBy = ownedBy
        self.contextLength = contextLength
    }

    private enum CodingKeys: String, CodingKey {
        case id
        case object
        case created
        case ownedBy = "owned_by"
        case contextLength = "context_length"
    }
}
