extension Status {
    /// How the expert arena follows the memory that the machine has left.
    package struct Pressure: Codable, Sendable, Equatable {
        /// Slots in use at present, `expert_slots` or fewer.
        package var usableSlotCount: Int
        package var usableByteCount: Int
        /// Reports of shortage, and how often the arena became smaller and larger.
        package var reportCount: Int
        package var shrinkCount: Int
        package var growthCount: Int
        /// Experts that were evicted for it.
        package var evictionCount: Int
        /// What the tightest limit leaves, and which that is; nil when nothing tells.
        package var leftByteCount: Int?
        package var limitByteCount: Int?
        package var limitSource: String?
        /// What reports shortage.
        package var watched: [String]

        package init(
            usableSlotCount: Int, usableByteCount: Int, reportCount: Int = 0, shrinkCount: Int = 0,
            growthCount: Int = 0, evictionCount: Int = 0, leftByteCount: Int? = nil, limitByteCount: Int? = nil,
            limitSource: String? = nil, watched: [String] = []
        ) {
            self.usableSlotCount = usableSlotCount
            self.usableByteCount = usableByteCount
            self.reportCount = reportCount
            self.shrinkCount = shrinkCount
            self.growthCount = growthCount
            self.evictionCount = evictionCount
            self.leftByteCount = leftByteCount
            self.limitByteCount = limitByteCount
            self.limitSource = limitSource
            self.watched = watched
        }

        private enum CodingKeys: String, CodingKey {
            case usableSlotCount = "usable_slots"
            case usableByteCount = "usable_bytes"
            case reportCount = "reports"
            case shrinkCount = "shrinks"
            case growthCount = "growths"
            case evictionCount = "evictions"
            case leftByteCount = "left_bytes"
            case limitByteCount = "limit_bytes"
            case limitSource = "limit_source"
            case watched
        }
    }
}
