/// One entry of a journal, in the order in which they were made.
package enum FinishedEntry: Sendable, Equatable {
    case array(ArrayRecord, note: [UInt8])
    case note([UInt8])
}

/// Going on where an earlier writer stopped: with `PATH.journal` beside `PATH.partial`.
///
/// A writer with a journal records each array once it is written. Whatever ends it, even in the middle of a call, a
/// later one with `resuming` can take up what was recorded, and the finished file is the same to the last byte.
extension ContainerWriter {
    /// What the earlier writer's caller gave as its identity; nil when there is nothing to take up.
    package var earlierIdentity: [UInt8]? { remnant?.identity }

    /// Whether a later writer could take up what this one leaves if it goes now.
    package var canBeResumed: Bool { remnant != nil || journal.map { $0.arrayCount > 0 } ?? false }

    /// Starts a journal. To be called before anything is appended; whatever an earlier writer left is gone then.
    ///
    /// - Parameter identity: by which a later caller knows that it would write the same file.
    package func startJournal(identity: [UInt8]) throws(ContainerError) {
        try closingOnFailure { () throws(ContainerError) in
            guard identity.count <= WriterJournal.payloadLimit else {
                throw ContainerError(
                    .tooLarge, path: path, field: "identity", expected: "at most \(WriterJournal.payloadLimit) bytes",
                    found: "\(identity.count) bytes")
            }
            remnant = nil
            try target.file.truncate(to: 0)
            journal = try WriterJournal.create(path: WriterJournal.path(for: path), identity: identity)
            try target.synchronizeDirectory()
        }
    }

    /// Adds something of the caller's own to the journal, if there is one.
    package func appendToJournal(note: [UInt8]) throws(ContainerError) {
        guard let journal else { return }
        try closingOnFailure { () throws(ContainerError) in try journal.append(note: note) }
    }

    /// Goes on with what the earlier writer left. Arrays since the last mark are read once more and compared with
    /// their checksums; from the first that doesn't agree on, everything is to be made again.
    ///
    /// - Returns: what is complete, in order; the caller appends the rest.
    package func takeUp() throws(ContainerError) -> [FinishedEntry] {
        var finished: [FinishedEntry] = []
        try closingOnFailure { () throws(ContainerError) in
            guard var contents = remnant else { return }
            let lastMark = contents.entries.lastIndex { $0.content == .mark } ?? -1
            let byteCount = try target.file.status().byteCount
            for (place, entry) in contents.entries.enumerated() {
                guard try takes(entry.content, isMarked: place < lastMark, byteCount: byteCount) else {
                    contents.entries.removeSubrange(place...)
                    break
                }
                switch entry.content {
                case .array(let record, let note): finished.append(.array(record, note: note))
                case .note(let note): finished.append(.note(note))
                case .mark: break
                }
            }
            // A writer that came as far as the superblock may have left one.
            let zeros = [UInt8](repeating: 0, count: ContainerFormat.superblockByteCount)
            try target.file.write(zeros, at: 0, "superblock")
            try target.file.truncate(to: end)
            journal = try WriterJournal.reopen(path: WriterJournal.path(for: path), after: contents)
            remnant = nil
        }
        return finished
    }

    /// Throws away what was written, journal included: for a failure after which nothing of it is of use.
    package func abandon() {
        guard !isClosed else { return }
        isClosed = true
        journal = nil
        remnant = nil
        target.remove()
        WriterJournal.remove(for: path)
    }

    /// Keeps what a later writer can use, and removes what it can't.
    func letGo() {
        if canBeResumed {
            target.keep()
        } else {
            target.remove()
            WriterJournal.remove(for: path)
        }
    }

    private func takes(
        _ content: JournalContents.Content, isMarked: Bool, byteCount: UInt64
    ) throws(ContainerError) -> Bool {
        guard let record = content.record else { return true }
        let recordEnd = record.offset + UInt64(record.storedByteCount)
        guard record.offset == ContainerFormat.aligned(end, to: record.alignment), recordEnd <= byteCount else {
            return false
        }
        if !isMarked {
            let checksum = try target.file.checksum(at: record.offset, byteCount: record.storedByteCount, record.name)
            guard checksum == record.checksum else { return false }
        }
        switch record {
        case .tensor(let record):
            guard tensors.updateValue(record, forKey: record.key) == nil else { return false }
        case .expert(let record):
            guard experts.updateValue(record, forKey: record.key) == nil else { return false }
        case .refinement(let record):
            guard isBehindItsExpert(record), refinements.updateValue(record, forKey: record.key) == nil else {
                return false
            }
        }
        end = recordEnd
        return true
    }
}

// MARK: What earlier writers left

extension ContainerWriter {
    /// The identity of the writer that made the file at `path`, if that writer was killed after it gave the file its
    /// name and before it removed its journal; nil otherwise. `forgetFinished` removes the journal.
    package static func identityOfFinished(path: String) throws(ContainerError) -> [UInt8]? {
        tidy(path)
        guard PartialFile.exists(path), !PartialFile.exists(PartialFile.partialPath(for: path)) else { return nil }
        return try JournalContents(path: WriterJournal.path(for: path))?.identity
    }

    package static func forgetFinished(path: String) { WriterJournal.remove(for: path) }

    /// Removes a partial file that is only a second name of the finished one.
    static func tidy(_ path: String) {
        let partial = PartialFile.partialPath(for: path)
        guard PartialFile.isSameFile(path, partial), let file = try? PositionedFile.open(reading: partial),
            (try? file.lock()) == true, PartialFile.isSameFile(path, partial)
        else { return }
        PartialFile.unlink(partial)
    }

    /// What `resuming` can take up. Everything else is removed, unless that would be a loss that nobody asked for.
    static func remnant(
        of target: PartialFile, replacing: Bool, resuming: Bool
    ) throws(ContainerError) -> JournalContents? {
        do throws(ContainerError) {
            let isBegun = try target.file.status().byteCount > UInt64(ContainerFormat.superblockByteCount)
            let path = WriterJournal.path(for: target.path)
            let contents = isBegun && (resuming || !replacing) ? try JournalContents(path: path) : nil
            if let contents, contents.entries.contains(where: { $0.content.record != nil }) {
                guard resuming else {
                    throw ContainerError(
                        .resumable, path: target.path, field: PartialFile.partialPath(for: target.path),
                        expected: "nothing", found: "an unfinished file and its journal")
                }
                return contents
            }
            WriterJournal.remove(for: target.path)
            try target.file.truncate(to: 0)
            return nil
        } catch {
            target.keep()
            throw error
        }
    }
}
