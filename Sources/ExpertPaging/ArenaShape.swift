package import Container

/// How a container's experts divide into slots, at most four sizes of them.
///
/// Any expert of a size class fits any of its slots. Containers whose experts all have one size have one class.
package struct ArenaShape: Sendable, Equatable {
    package struct SizeClass: Sendable, Equatable {
        /// Bytes of one slot: the largest blob of the class, rounded up to whole pages.
        package var slotByteCount: Int
        /// Experts that belong to the class.
        package var expertCount: Int
        /// Whether each of its experts is to have a slot before other classes get more than their least.
        package var comesFirst: Bool

        package init(slotByteCount: Int, expertCount: Int, comesFirst: Bool = false) {
            self.slotByteCount = slotByteCount
            self.expertCount = expertCount
            self.comesFirst = comesFirst
        }
    }

    /// From small to large; empty for a model without routed experts.
    package let classes: [SizeClass]
    package let expertsPerToken: Int
    package let laneCount: Int

    package static let pageByteCount = 4096
    package static let mostClasses = 4

    package init(container: ContainerReader, planes: ExpertPlanes = .coarse, laneCount: Int) {
        let sources = container.sources(planes: planes)
        var hot: Set<Int> = []
        if case .heat(let keys) = planes { hot = Set(sources.lazy.filter { keys.contains($0.key) }.map(\.byteCount)) }
        self.init(
            blobByteCounts: sources.map(\.byteCount), hotByteCounts: hot,
            expertsPerToken: container.metadata.configuration.experts?.expertsPerToken ?? 0, laneCount: laneCount)
    }

    /// - Parameter hotByteCounts: sizes of the experts that come first.
    package init(blobByteCounts: [Int], hotByteCounts: Set<Int> = [], expertsPerToken: Int, laneCount: Int) {
        var counts: [Int: Int] = [:]
        for byteCount in blobByteCounts { counts[Self.paged(byteCount), default: 0] += 1 }
        let hot = Set(hotByteCounts.map(Self.paged))
        var classes = counts.sorted { $0.key < $1.key }.map {
            SizeClass(slotByteCount: $0.key, expertCount: $0.value, comesFirst: hot.contains($0.key))
        }
        while classes.count > Self.mostClasses {
            // The merge that wastes the fewest bytes.
            let waste = (0..<classes.count - 1).map {
                classes[$0].expertCount * (classes[$0 + 1].slotByteCount - classes[$0].slotByteCount)
            }
            let cheapest = waste.indices.min { waste[$0] < waste[$1] } ?? 0
            classes[cheapest + 1].expertCount += classes[cheapest].expertCount
            classes[cheapest + 1].comesFirst = classes[cheapest + 1].comesFirst || classes[cheapest].comesFirst
            classes.remove(at: cheapest)
        }
        self.classes = classes
        self.expertsPerToken = expertsPerToken
        self.laneCount = laneCount
    }

    /// - Parameter classes: from small to large.
    package init(classes: [SizeClass], expertsPerToken: Int, laneCount: Int) {
        self.classes = classes
        self.expertsPerToken = expertsPerToken
        self.laneCount = laneCount
    }

    package var expertCount: Int { classes.reduce(0) { $0 + $1.expertCount } }

    /// The fewest slots that work: in every class one layer's experts for one token, and one slot a lane for reads
    /// that nobody waits for any more.
    package var leastSlotCount: Int { leastSlots.reduce(0, +) }

    private var leastSlots: [Int] { classes.map { min($0.expertCount, expertsPerToken + laneCount) } }

    /// The size class of a blob.
    package func sizeClass(ofBlob byteCount: Int) -> Int? { classes.firstIndex { $0.slotByteCount >= byteCount } }

    /// Slots of each class when there are `slotCount` in all: the least everywhere, then one an expert where the class comes
    /// first, and the rest in proportion to the experts that are left over. More than one slot an expert is never given.
    /// nil below `leastSlotCount`.
    package func slotCounts(total slotCount: Int) -> [Int]? {
        var counts = leastSlots
        var spare = min(slotCount, expertCount) - leastSlotCount
        guard spare >= 0 else { return nil }
        for index in classes.indices where classes[index].comesFirst {
            let share = min(classes[index].expertCount - counts[index], spare)
            counts[index] += share
            spare -= share
        }
        let others = classes.indices.filter { !classes[$0].comesFirst }
        let wanted = others.reduce(0) { $0 + classes[$1].expertCount - counts[$1] }
        guard wanted > 0 else { return counts }
        var left = spare
        for index in others {
            let share = (classes[index].expertCount - counts[index]) * spare / wanted
            counts[index] += share
            left -= share
        }
        // Rounding leaves fewer slots than there are classes.
        for index in others where left > 0 && counts[index] < classes[index].expertCount {
            counts[index] += 1
            left -= 1
        }
        return counts
    }

    /// Whether so many slots are enough for every expert that comes first.
    package func holdsFirst(slotCount: Int) -> Bool {
        slotCounts(total: slotCount).map { zip($0, classes).allSatisfy { !$1.comesFirst || $0 == $1.expertCount } }
            ?? false
    }

    /// Bytes of an arena of `slotCount` slots; nil below `leastSlotCount`.
    package func byteCount(slotCount: Int) -> Int? {
        slotCounts(total: slotCount).map { zip($0, classes).reduce(0) { $0 + $1.0 * $1.1.slotByteCount } }
    }

    /// The most slots whose arena fits in `byteCount`, at most one an expert; nil if not even the least do.
    package func slotCount(byteCount: Int) -> Int? {
        var low = leastSlotCount
        var high = expertCount
        guard let least = self.byteCount(slotCount: low), least <= byteCount else { return nil }
        while low < high {
            let middle = (low + high + 1) / 2
            if let needed = self.byteCount(slotCount: middle), needed <= byteCount {
                low = middle
            } else {
                high = middle - 1
            }
        }
        return low
    }

    private static func paged(_ byteCount: Int) -> Int {
        (byteCount + pageByteCount - 1) / pageByteCount * pageByteCount
    }
}
