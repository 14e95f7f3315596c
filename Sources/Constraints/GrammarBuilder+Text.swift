extension GrammarBuilder {
    package mutating func bytes(
        _ bytes: some BidirectionalCollection<UInt8>, then next: StateID
    ) throws(GrammarError) -> StateID {
        var next = next
        for byte in bytes.reversed() { next = try add(.symbol(Grammar.Symbol(byte), next: next)) }
        return next
    }

    package mutating func text(_ text: String, then next: StateID) throws(GrammarError) -> StateID {
        try bytes(Array(text.utf8), then: next)
    }

    /// The token of a marker; its text if the vocabulary has no such special token.
    package mutating func marker(_ text: String, then next: StateID) throws(GrammarError) -> StateID {
        if let symbol = markers[text] { return try add(.symbol(symbol, next: next)) }
        return try self.text(text, then: next)
    }

    /// A marker whose text means the same.
    package mutating func markerOrText(_ text: String, then next: StateID) throws(GrammarError) -> StateID {
        let spelt = try self.text(text, then: next)
        guard let symbol = markers[text] else { return spelt }
        return try fork([spelt, try add(.symbol(symbol, next: next))])
    }

    /// One of several texts, then what belongs to it. Texts that begin alike share that.
    package mutating func oneOf(_ texts: [(bytes: [UInt8], next: StateID)]) throws(GrammarError) -> StateID {
        struct Node {
            var children: [(byte: UInt8, node: Int)] = []
            var ends: [StateID] = []
        }
        var nodes = [Node()]
        for (bytes, next) in texts {
            var place = 0
            for byte in bytes {
                if let child = nodes[place].children.first(where: { $0.byte == byte }) {
                    place = child.node
                } else {
                    guard nodes.count < Self.mostStates else { throw Self.tooLarge }
                    nodes.append(Node())
                    nodes[place].children.append((byte, nodes.count - 1))
                    place = nodes.count - 1
                }
            }
            nodes[place].ends.append(next)
        }
        // A child stands behind its parent.
        var starts = [StateID](repeating: 0, count: nodes.count)
        for place in nodes.indices.reversed() {
            var branches = nodes[place].ends
            for (byte, node) in nodes[place].children {
                branches.append(try add(.symbol(Grammar.Symbol(byte), next: starts[node])))
            }
            starts[place] = try fork(branches)
        }
        return starts[0]
    }

    /// Any bytes in which `literal` doesn't stand.
    ///
    /// - Parameters:
    ///   - completing: what comes when the literal is spelt to its end, or its marker comes; nil if it may not be.
    ///   - leaving: what may come anywhere before; nil for nothing.
    package mutating func anything(
        before literal: String, completing: StateID?, leaving: StateID?
    ) throws(GrammarError) -> StateID {
        let search = LiteralSearch([Array(literal.utf8)])
        let loops = try (0..<search.stateCount).map { _ throws(GrammarError) in try reserve() }
        for place in loops.indices {
            var branches = leaving.map { [$0] } ?? []
            for (set, next) in search.steps(from: place, among: .all) {
                if let target = next.map({ loops[$0] }) ?? completing {
                    branches.append(try self.set(set, then: target))
                }
            }
            if let completing, let symbol = markers[literal] {
                branches.append(try add(.symbol(symbol, next: completing)))
            }
            define(loops[place], branches)
        }
        return loops[0]
    }
}
