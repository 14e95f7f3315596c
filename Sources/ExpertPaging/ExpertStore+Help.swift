import Synchronization

/// For routers that look at what is in memory.
extension ExpertStore {
    /// Marks which of a sparse layer's experts are in memory or on their way there: [experts], 1 or 0. The next `acquire`
    /// may change it.
    package func markResidents(layer: Int, _ marks: inout MutableSpan<Int32>) {
        precondition(firstIndices[layer] >= 0 && marks.count == expertsPerLayer, "one mark an expert of a sparse layer")
        core.monitor.lock()
        defer { core.monitor.unlock() }
        for expert in marks.indices { marks[expert] = core.table.isResident(firstIndices[layer] + expert) ? 1 : 0 }
    }

    /// Counts experts that were chosen in place of others, and such as were left out.
    package func countHelp(substituted: Int, dropped: Int) {
        if substituted > 0 { core.substitutions.add(UInt64(substituted), ordering: .relaxed) }
        if dropped > 0 { core.drops.add(UInt64(dropped), ordering: .relaxed) }
    }
}
