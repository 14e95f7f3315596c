package import Container

/// What goes wrong with the storage at present.
extension ExpertStore {
    /// Reads that take longer than storage that works ever does.
    package static let slowReadDuration = Duration.seconds(1)

    /// The read that has lasted longest, if it has lasted for `slowReadDuration`, and how many such there are.
    package var slowReads: (expert: ExpertKey, duration: Duration, count: Int)? {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        let now = ContinuousClock.now
        var longest: (expert: Int32, duration: Duration)?
        var count = 0
        for slot in core.table.slots {
            guard slot.partsRunning > 0 else { continue }
            let duration = slot.readStart.duration(to: now)
            guard duration >= Self.slowReadDuration else { continue }
            count += 1
            if duration > longest?.duration ?? .zero { longest = (slot.expert, duration) }
        }
        return longest.map { (core.sources[Int($0.expert)].key, $0.duration, count) }
    }

    /// Experts that could not be read when they were last asked for: how many, and one of them with its error. They are read
    /// again whenever they are asked for.
    package var unreadable: (count: Int, example: PagingError)? {
        core.monitor.lock()
        defer { core.monitor.unlock() }
        guard let example = core.table.unreadable.min(by: { $0.key < $1.key }) else { return nil }
        return (core.table.unreadable.count, example.value)
    }
}
