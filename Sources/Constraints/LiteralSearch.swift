/// Which of several literals a text is about to spell (Aho and Corasick): its state is how much of one stands at the text's
/// end.
struct LiteralSearch {
    /// The beginnings of all literals, the empty one first.
    private var beginnings: [[UInt8]] = [[]]
    private let literals: [[UInt8]]

    init(_ literals: [[UInt8]]) {
        self.literals = literals
        var known: Set<[UInt8]> = [[]]
        for literal in literals {
            for count in literal.indices where known.insert(Array(literal[..<count])).inserted {
                beginnings.append(Array(literal[..<count]))
            }
        }
    }

    var stateCount: Int { beginnings.count }

    /// Where the bytes of each set lead: to a state, or, with nil, to a whole literal.
    func steps(from state: Int, among bytes: ByteSet) -> [(set: ByteSet, next: Int?)] {
        var sets: [Int: ByteSet] = [:]
        var others = bytes
        for byte in Set(literals.joined()) where bytes.contains(byte) {
            others = others.subtracting(ByteSet(CollectionOfOne(byte)))
            sets[next(state, byte) ?? -1, default: ByteSet()].insert(byte)
        }
        sets[0, default: ByteSet()].formUnion(others)
        return sets.sorted { $0.key < $1.key }.filter { !$0.value.isEmpty }.map {
            ($0.value, $0.key < 0 ? nil : $0.key)
        }
    }

    private func next(_ state: Int, _ byte: UInt8) -> Int? {
        let text = beginnings[state] + [byte]
        if literals.contains(where: { !$0.isEmpty && text.suffix($0.count) == $0[...] }) { return nil }
        for start in text.indices {
            if let found = beginnings.firstIndex(of: Array(text[start...])) { return found }
        }
        return 0
    }
}
