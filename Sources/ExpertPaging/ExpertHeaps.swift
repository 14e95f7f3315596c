/// Binary heaps, smallest key first, over items of which each belongs to one heap.
///
/// Insertion, removal and a change of key cost O(log n), looking at a minimum O(1). Equal keys go by the lower item.
/// Nothing is allocated after `init`.
struct ExpertHeaps {
    /// [items]: which heap an item belongs to.
    private let owners: [Int32]
    /// [items]
    private var keys: [Double]
    /// [items]: place in its heap, -1 when it isn't in it.
    private var places: [Int32]
    /// [heaps]
    private var heaps: [[Int32]]

    init(owners: [Int32]) {
        self.owners = owners
        keys = Array(repeating: 0, count: owners.count)
        places = Array(repeating: -1, count: owners.count)
        heaps = Array(repeating: [], count: Int((owners.max() ?? -1) + 1))
        var counts = Array(repeating: 0, count: heaps.count)
        for owner in owners { counts[Int(owner)] += 1 }
        for heap in heaps.indices { heaps[heap].reserveCapacity(counts[heap]) }
    }

    func contains(_ item: Int) -> Bool { places[item] >= 0 }

    func count(of heap: Int) -> Int { heaps[heap].count }

    func key(of item: Int) -> Double { keys[item] }

    func minimum(of heap: Int) -> Int? { heaps[heap].first.map(Int.init) }

    /// Puts an item in its heap, or changes its key there.
    mutating func set(_ item: Int, key: Double) {
        let heap = Int(owners[item])
        keys[item] = key
        if places[item] < 0 {
            places[item] = Int32(heaps[heap].count)
            heaps[heap].append(Int32(item))
        }
        settle(from: Int(places[item]), in: heap)
    }

    /// Takes an item out, if it is in.
    mutating func remove(_ item: Int) {
        let place = Int(places[item])
        guard place >= 0 else { return }
        let heap = Int(owners[item])
        let last = heaps[heap].count - 1
        swap(place, last, in: heap)
        heaps[heap].removeLast()
        places[item] = -1
        if place < last { settle(from: place, in: heap) }
    }

    private func isLess(_ left: Int32, _ right: Int32) -> Bool {
        let (first, second) = (keys[Int(left)], keys[Int(right)])
        return first < second || (first == second && left < right)
    }

    private mutating func swap(_ first: Int, _ second: Int, in heap: Int) {
        heaps[heap].swapAt(first, second)
        places[Int(heaps[heap][first])] = Int32(first)
        places[Int(heaps[heap][second])] = Int32(second)
    }

    private mutating func settle(from start: Int, in heap: Int) {
        var place = start
        while place > 0, isLess(heaps[heap][place], heaps[heap][(place - 1) / 2]) {
            swap(place, (place - 1) / 2, in: heap)
            place = (place - 1) / 2
        }
        while true {
            var least = place
            for child in (2 * place + 1)...(2 * place + 2) where child < heaps[heap].count {
                if isLess(heaps[heap][child], heaps[heap][least]) { least = child }
            }
            guard least != place else { return }
            swap(place, least, in: heap)
            place = least
        }
    }
}
