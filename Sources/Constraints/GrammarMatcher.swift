/// Follows a text through a grammar, all readings that are still possible at once.
///
/// A reading is a state of the rule it is in, and the call of that rule: a *node*, which knows all places that it returns
/// to. Calls of one rule at one place of the text share a node, so that readings don't multiply (Tomita's graph-structured
/// stack): there are no more of them than the grammar has states, wherever text alone tells how deep it is nested, as JSON
/// does. Memory is bounded by what is open: what no reading returns to is forgotten.
package struct GrammarMatcher: Sendable {
    struct Thread: Sendable, Equatable {
        var state: Grammar.StateID
        var node: Int32
        var register: UInt64
    }

    struct Node: Sendable {
        var rule: Grammar.RuleID
        /// Where in the text it was called.
        var position: Int32
        /// Objects and arrays around it, itself included.
        var depth: UInt8
        /// The ends of lists, or −1.
        var edge: Int32 = -1
        var key: Int32 = -1
    }

    /// Where a node returns to.
    struct Edge: Sendable {
        var thread: Thread
        var next: Int32
    }

    /// A key that an object has.
    struct Key: Sendable {
        var hash: UInt64
        var node: Int32
        var position: Int32
        var next: Int32
    }

    /// States that one token may cost, over all that are tried: a fraction of a second.
    private static let mostWork = 1 << 24

    let grammar: Grammar
    /// After all that was taken; each at a state that takes a symbol.
    var threads: [Thread] = []
    var nodes: [Node] = []
    var edges: [Edge] = []
    var keys: [Key] = []
    var position: Int32 = 0
    /// How much of all that belongs to the text, and not to what was only asked for.
    private var settled: (position: Int32, nodes: Int, edges: Int, keys: Int) = (0, 0, 0, 0)
    /// By rule: the node that was made last, if it still is that.
    var latest: [Int32]
    /// More nodes than these are looked through for those that nothing returns to.
    var worthCompacting = 4096
    /// Whether the text may end here.
    package private(set) var isComplete = false
    /// Bytes that may come next.
    private var openings = ByteSet()
    private var work = 0

    // Kept for their memory.
    private var current: [Thread] = []
    private var following: [Thread] = []
    private var pending: [Thread] = []
    private var visited: [Thread] = []
    /// By state: the closure in which it was visited.
    private var seen: [UInt32]
    private var closure: UInt32 = 0
    private var isEndReached = false

    package init(_ grammar: Grammar) {
        self.grammar = grammar
        latest = Array(repeating: -1, count: grammar.rules.count)
        seen = Array(repeating: 0, count: grammar.states.count)
        nodes.append(Node(rule: 0, position: 0, depth: 0))
        beginClosure()
        push(Thread(state: grammar.rules[0].start, node: 0, register: 0))
        close()
        takeAccepted()
    }

    /// Whether the text is complete and nothing can follow.
    package var isFinished: Bool { isComplete && threads.isEmpty }

    /// Whether the next symbol's search was given up, because it took too long: then nothing more is accepted.
    package var isExhausted: Bool { work > Self.mostWork }

    // MARK: Symbols

    /// Whether bytes, at least one, may come next.
    package mutating func accepts(_ bytes: ArraySlice<UInt8>) -> Bool {
        guard let first = bytes.first, openings.contains(first), !isExhausted else { return false }
        return walk(bytes) && !isExhausted
    }

    package mutating func accepts(marker: Grammar.Symbol) -> Bool {
        !isExhausted && walk(CollectionOfOne(marker)) && !isExhausted
    }

    /// Takes what was asked for last, which must have been accepted.
    package mutating func takeAccepted() {
        (settled.position, settled.nodes, settled.edges, settled.keys) = (
            position, nodes.count, edges.count, keys.count
        )
        settle()
    }

    /// Goes on by symbols from where the text stands, and not from what was asked for before.
    private mutating func walk(_ symbols: some Sequence<some FixedWidthInteger>) -> Bool {
        position = settled.position
        nodes.removeLast(nodes.count - settled.nodes)
        edges.removeLast(edges.count - settled.edges)
        while keys.count > settled.keys {
            let key = keys.removeLast()
            if Int(key.node) < nodes.count { nodes[Int(key.node)].key = key.next }
        }
        current.removeAll(keepingCapacity: true)
        current += threads
        for symbol in symbols {
            guard step(Grammar.Symbol(symbol)) else { return false }
        }
        return true
    }

    /// Makes what was reached the state from which the next token is tried.
    private mutating func settle() {
        swap(&threads, &current)
        isComplete = isEndReached
        work = 0
        openings = ByteSet()
        for thread in threads {
            switch grammar.states[Int(thread.state)] {
            case .symbol(let symbol, _): if let byte = UInt8(exactly: symbol) { openings.insert(byte) }
            case .set(let set, _), .hashed(let set, _): openings.formUnion(grammar.sets[Int(set)])
            default: break
            }
        }
        if nodes.count > worthCompacting {
            compact()
            (settled.nodes, settled.edges, settled.keys) = (nodes.count, edges.count, keys.count)
        }
    }

    // MARK: Closures

    /// Takes a symbol from `current`. False if nothing is left.
    private mutating func step(_ symbol: Grammar.Symbol) -> Bool {
        position += 1
        beginClosure()
        let byte = UInt8(exactly: symbol)
        for thread in current {
            switch grammar.states[Int(thread.state)] {
            case .symbol(symbol, let next): push(Thread(state: next, node: thread.node, register: thread.register))
            case .set(let set, let next):
                if let byte, grammar.sets[Int(set)].contains(byte) {
                    push(Thread(state: next, node: thread.node, register: thread.register))
                }
            case .hashed(let set, let next):
                if let byte, grammar.sets[Int(set)].contains(byte) {
                    let hash = KeyHash.adding(byte, to: thread.register)
                    push(Thread(state: next, node: thread.node, register: hash))
                }
            default: break
            }
        }
        close()
        return !current.isEmpty || isEndReached
    }

    private mutating func beginClosure() {
        closure &+= 1
        visited.removeAll(keepingCapacity: true)
        following.removeAll(keepingCapacity: true)
        pending.removeAll(keepingCapacity: true)
        isEndReached = false
    }

    /// Adds a reading, unless it is known or can't be ended as deep as it is.
    private mutating func push(_ thread: Thread) {
        work += 1
        let state = Int(thread.state)
        guard work <= Self.mostWork,
            Int(grammar.heights[state]) + Int(nodes[Int(thread.node)].depth) <= Grammar.mostDepth
        else { return }
        if seen[state] == closure {
            work += visited.count
            if visited.contains(thread) { return }
        }
        seen[state] = closure
        visited.append(thread)
        switch grammar.states[state] {
        case .symbol, .set, .hashed: following.append(thread)
        default: pending.append(thread)
        }
    }

    /// Goes on to the states that take a symbol, which become `current`.
    private mutating func close() {
        while let thread = pending.popLast() {
            func next(_ state: Grammar.StateID, _ register: UInt64) -> Thread {
                Thread(state: state, node: thread.node, register: register)
            }
            switch grammar.states[Int(thread.state)] {
            case .symbol, .set, .hashed: break
            case .fork(let first, let count):
                for place in first..<first + count { push(next(grammar.targets[Int(place)], thread.register)) }
            case .reset(let state): push(next(state, 0))
            case .count(let state): push(next(state, thread.register + 1))
            case .atLeast(let least, let state):
                if thread.register >= UInt64(least) { push(next(state, thread.register)) }
            case .below(let most, let state):
                if thread.register < UInt64(most) { push(next(state, thread.register)) }
            case .beginKey(let state): push(next(state, KeyHash.empty))
            case .endKey(let excluded, let state):
                if addKey(thread.register, to: thread.node, excluded) { push(next(state, 0)) }
            case .call(let rule, let state): call(rule, returningTo: next(state, thread.register))
            case .end:
                if thread.node == 0 { isEndReached = true }
                var edge = nodes[Int(thread.node)].edge
                while edge >= 0 {
                    push(edges[Int(edge)].thread)
                    edge = edges[Int(edge)].next
                }
            }
        }
        swap(&current, &following)
    }

    private mutating func call(_ id: Grammar.RuleID, returningTo thread: Thread) {
        let rule = grammar.rules[Int(id)]
        let depth = nodes[Int(thread.node)].depth
        // Both what is called and what comes after it must have room to end.
        guard Int(grammar.heights[Int(thread.state)]) + Int(depth) <= Grammar.mostDepth else { return }
        let inner = depth + (rule.nests ? 1 : 0)
        guard Int(grammar.heights[Int(rule.start)]) + Int(inner) <= Grammar.mostDepth else { return }
        var node = Int(latest[Int(id)])
        let isKnown = node >= 0 && node < nodes.count && nodes[node].rule == id && nodes[node].position == position
        if !isKnown {
            node = nodes.count
            nodes.append(Node(rule: id, position: position, depth: inner))
            latest[Int(id)] = Int32(node)
        }
        edges.append(Edge(thread: thread, next: nodes[node].edge))
        nodes[node].edge = Int32(edges.count - 1)
        if !isKnown { push(Thread(state: rule.start, node: Int32(node), register: 0)) }
    }

    /// False if the object has the key already. What another reading found here doesn't count.
    private mutating func addKey(_ hash: UInt64, to node: Int32, _ excluded: Int32) -> Bool {
        if grammar.keySets[Int(excluded)].contains(hash) { return false }
        var place = nodes[Int(node)].key
        while place >= 0 {
            work += 1
            let key = keys[Int(place)]
            if key.hash == hash, key.position < position { return false }
            place = key.next
        }
        keys.append(Key(hash: hash, node: node, position: position, next: nodes[Int(node)].key))
        nodes[Int(node)].key = Int32(keys.count - 1)
        return true
    }
}
