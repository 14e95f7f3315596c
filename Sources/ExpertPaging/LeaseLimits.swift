/// How many experts may be held and read ahead with so many slots.
struct LeaseLimits {
    /// Tickets that may be held at a time. Lanes can be busy with reads that nobody wants any more, one each and two each where
    /// they read ahead, so it is smaller than the slots by those, unless every expert has a slot.
    let leases: Int
    /// Spare lanes that may read: no more than leave one layer's experts for one token.
    let spareLanes: Int
    /// Experts at most that are read ahead for a prompt; 0 where there is no room to read ahead.
    let ahead: Int

    /// Slots a lane beside one layer's experts, below which nothing is read ahead.
    private static let aheadRoom = 4
    /// Enough to keep storage busy while attention is computed.
    private static let mostAhead = 24

    /// - Parameter slotCounts: of each size class.
    init(shape: ArenaShape, slotCounts: [Int], laneCount: Int) {
        let scarce = zip(shape.classes, slotCounts).filter { sizeClass, count in count < sizeClass.expertCount }
        let mayReadAhead =
            !scarce.isEmpty && scarce.allSatisfy { $1 >= shape.expertsPerToken + Self.aheadRoom * laneCount }
        let room = scarce.map { $1 - shape.expertsPerToken - laneCount }.min()
        let spareLanes = min(room ?? ExpertStore.spareLaneCount, ExpertStore.spareLaneCount)
        let leases =
            scarce.map { $1 - (mayReadAhead ? 2 : 1) * laneCount - spareLanes }.min()
            ?? shape.classes.reduce(0) { $0 + $1.expertCount }
        self.leases = leases
        self.spareLanes = spareLanes
        ahead = mayReadAhead ? min(max(leases / 8, laneCount), Self.mostAhead) : 0
    }
}
