/// How much of the arena is in use. Guarded by the core's monitor.
struct ArenaCapacity {
    /// [size classes]: slots that are to be in use.
    var target: [Int]
    /// [size classes]: slots out of use whose memory was given back.
    var retired: [[Int32]]
    /// Tickets that a layer counts on being able to hold; 0 between layers.
    var promisedLeases = 0
    /// Slots that were held, when the layer began, for those who had stepped aside.
    var awaitedBefore = 0
    /// Experts that were evicted for the arena to shrink.
    var evictedCount: UInt64 = 0

    init(target: [Int]) {
        self.target = target
        retired = target.map { _ in [] }
    }

    /// Slots of a class that can't be retired at the moment: a lane may be at two experts that nobody holds.
    func floor(ofClass sizeClass: Int, laneCount: Int) -> Int {
        promisedLeases == 0
            ? target[sizeClass]
            : max(target[sizeClass], promisedLeases + 2 * laneCount + ExpertStore.spareLaneCount)
    }
}
