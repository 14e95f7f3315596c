import Glibc

/// Who gives up a slot: the expert with the lowest decayed count of uses (LFU with a half-life).
///
/// Counts belong to experts, not to slots, so an expert that was evicted comes back with what it had earned (a
/// "ghost" count; without them LFU degrades to LRU). Instead of shrinking every count as time passes, a later use adds
/// more: after `t` steps a use adds `2^(t / halfLife)`, which orders experts the same way and changes one count a use.
///
/// Only experts that were offered with `makeEvictable` are ever chosen. Every operation costs O(log n).
package struct ExpertPolicy: Sendable {
    /// [experts], in units of `2^(steps / halfLife)` since the last rescaling.
    private var scores: [Double]
    /// What one use is worth now.
    private var increment = 1.0
    private let growth: Double
    /// [experts]: which slots an expert fits in.
    private let sizeClasses: [UInt8]
    /// [size classes]: min-heaps of evictable experts.
    private var heaps: [[Int32]]
    /// [experts]: place in its heap, -1 when it isn't evictable.
    private var places: [Int32]

    /// One entry of `sizeClasses` an expert; victims are chosen within one class. `halfLife` in steps (`advance`).
    package init(sizeClasses: [UInt8], halfLife: Double) {
        self.sizeClasses = sizeClasses
        scores = Array(repeating: 0, count: sizeClasses.count)
        places = Array(repeating: -1, count: sizeClasses.count)
        heaps = Array(repeating: [], count: Int(sizeClasses.max() ?? 0) + 1)
        growth = exp2(1 / halfLife)
        for sizeClass in heaps.indices {
            heaps[sizeClass].reserveCapacity(sizeClasses.count { $0 == sizeClass })
        }
    }

    /// Lets one step pass.
    package mutating func advance() {
        increment *= growth
        if increment > 1e200 { rescale() }
    }

    package mutating func recordUse(of expert: Int) {
        scores[expert] += increment
        if places[expert] >= 0 { siftDown(from: Int(places[expert]), in: Int(sizeClasses[expert])) }
    }

    /// The expert is in memory and nobody uses it.
    package mutating func makeEvictable(_ expert: Int) {
        guard places[expert] < 0 else { return }
        let sizeClass = Int(sizeClasses[expert])
        places[expert] = Int32(heaps[sizeClass].count)
        heaps[sizeClass].append(Int32(expert))
        siftUp(from: heaps[sizeClass].count - 1, in: sizeClass)
    }

    /// The expert is in use, or no longer in memory.
    package mutating func makeUnevictable(_ expert: Int) {
        let place = Int(places[expert])
        guard place >= 0 else { return }
        let sizeClass = Int(sizeClasses[expert])
        let last = heaps[sizeClass].count - 1
        swap(place, last, in: sizeClass)
        heaps[sizeClass].removeLast()
        places[expert] = -1
        if place < last {
            siftDown(from: place, in: sizeClass)
            siftUp(from: place, in: sizeClass)
        }
    }

    /// Chooses the least used evictable expert of a size class, the lower index among equals, and withdraws it.
    package mutating func takeVictim(ofClass sizeClass: Int) -> Int? {
        guard let victim = heaps[sizeClass].first else { return nil }
        makeUnevictable(Int(victim))
        return Int(victim)
    }

    /// Uses of an expert, each worth half as much for every half-life since.
    package func score(of expert: Int) -> Double { scores[expert] / increment }

    package func evictableCount(ofClass sizeClass: Int) -> Int { heaps[sizeClass].count }

    private func isLess(_ left: Int32, _ right: Int32) -> Bool {
        let (first, second) = (scores[Int(left)], scores[Int(right)])
        return first < second || (first == second && left < right)
    }

    private mutating func swap(_ first: Int, _ second: Int, in sizeClass: Int) {
        heaps[sizeClass].swapAt(first, second)
        places[Int(heaps[sizeClass][first])] = Int32(first)
        places[Int(heaps[sizeClass][second])] = Int32(second)
    }

    private mutating func siftUp(from start: Int, in sizeClass: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard isLess(heaps[sizeClass][place], heaps[sizeClass][parent]) else { return }
            swap(place, parent, in: sizeClass)
            place = parent
        }
    }

    private mutating func siftDown(from start: Int, in sizeClass: Int) {
        var place = start
        while true {
            var least = place
            for child in (2 * place + 1)...(2 * place + 2) where child < heaps[sizeClass].count {
                if isLess(heaps[sizeClass][child], heaps[sizeClass][least]) { least = child }
            }
            guard least != place else { return }
            swap(place, least, in: sizeClass)
            place = least
        }
    }

    /// Keeps the scores finite. What is too small to matter becomes zero, which can tie experts that weren't, so the
    /// heaps are made anew.
    private mutating func rescale() {
        for expert in scores.indices { scores[expert] /= increment }
        increment = 1
        for sizeClass in heaps.indices {
            for place in stride(from: heaps[sizeClass].count / 2 - 1, through: 0, by: -1) {
                siftDown(from: place, in: sizeClass)
            }
        }
    }
}
