extension GrammarMatcher {
    /// Forgets the calls that no reading returns to.
    mutating func compact() {
        var isLive = [Bool](repeating: false, count: nodes.count)
        isLive[0] = true
        var pending = threads.map(\.node)
        while let node = pending.popLast() {
            guard !isLive[Int(node)] else { continue }
            isLive[Int(node)] = true
            var edge = nodes[Int(node)].edge
            while edge >= 0 {
                pending.append(edges[Int(edge)].thread.node)
                edge = edges[Int(edge)].next
            }
        }

        var places = [Int32](repeating: -1, count: nodes.count)
        var kept: [Node] = []
        for (place, node) in nodes.enumerated() where isLive[place] {
            places[place] = Int32(kept.count)
            kept.append(Node(rule: node.rule, position: node.position, depth: node.depth))
        }
        var keptEdges: [Edge] = []
        for (place, node) in nodes.enumerated() where isLive[place] {
            let target = Int(places[place])
            var edge = node.edge
            while edge >= 0 {
                var thread = edges[Int(edge)].thread
                thread.node = places[Int(thread.node)]
                keptEdges.append(Edge(thread: thread, next: kept[target].edge))
                kept[target].edge = Int32(keptEdges.count - 1)
                edge = edges[Int(edge)].next
            }
        }
        var keptKeys: [Key] = []
        for key in keys where isLive[Int(key.node)] {
            let target = places[Int(key.node)]
            keptKeys.append(
                Key(hash: key.hash, node: target, position: key.position, next: kept[Int(target)].key))
            kept[Int(target)].key = Int32(keptKeys.count - 1)
        }
        (nodes, edges, keys) = (kept, keptEdges, keptKeys)
        for place in threads.indices { threads[place].node = places[Int(threads[place].node)] }
        // What was called at the place where the text stands can't be called there again.
        for rule in latest.indices { latest[rule] = -1 }
        worthCompacting = max(4096, 2 * nodes.count)
    }
}
