/// A request's `moed` object: what this daemon takes beside OpenAI's fields. Absent fields take the daemon's own
/// defaults.
package struct LossyOptions: Codable, Sendable, Equatable {
    /// How much higher an expert ranks that is in memory, 0…1; 0 turns it off.
    package var preferResident: Double?
    /// Below which part of the mean weight an expert is left out that isn't in memory, 0…1; 0 turns it off.
    package var dropCold: Double?

    package init(preferResident: Double? = nil, dropCold: Double? = nil) {
        self.preferResident = preferResident
        self.dropCold = dropCold
    }

    private enum CodingKeys: String, CodingKey {
        case preferResident = "prefer_resident"
        case dropCold = "drop_cold"
    }
}

/// An answer's `moed` object: what lossy help was in force and what it came to. Absent where none was.
package struct LossyReport: Codable, Sendable, Equatable {
    package var preferResident: Double
    package var dropCold: Double
    /// Experts that the routers would have chosen for the answer's tokens, in all layers.
    package var choiceCount: Int
    /// Those of them whose places experts in memory took.
    package var substitutedCount: Int
    /// Those that were left out.
    package var droppedCount: Int

    package init(
        preferResident: Double, dropCold: Double, choiceCount: Int, substitutedCount: Int, droppedCount: Int
    ) {
        self.preferResident = preferResident
        self.dropCold = dropCold
        self.choiceCount = choiceCount
        self.substitutedCount = substitutedCount
        self.droppedCount = droppedCount
    }

    private enum CodingKeys: String, CodingKey {
        case preferResident = "prefer_resident"
        case dropCold = "drop_cold"
        case choiceCount = "choices"
        case substitutedCount = "substituted"
        case droppedCount = "dropped"
    }
}
