import Compute
import Container
import Synchronization

extension PagingCore {
    /// A lane's whole life: reads what was asked for first, and sleeps when there is nothing. What is expected comes while
    /// nothing that was asked for is on its way, and guesses when nothing has been asked for in a while.
    func runLane(scratch: AlignedMemory?) {
        monitor.lock()
        while !isStopping {
            if let read = table.takeRead() {
                answer(read, scratch: scratch)
                // Lanes that could read ahead wait for this.
                if busyCount == 0, hasExpectations { workArrived.signal() }
            } else if let read = takeExpected() {
                aheadCount += 1
                readAhead(read, scratch: scratch)
                aheadCount -= 1
            } else if let read = takeGuess() {
                readAhead(read, scratch: scratch)
            } else if guesses.isEmpty {
                workArrived.wait(in: monitor)
            } else {
                workArrived.wait(in: monitor, milliseconds: Self.idleMilliseconds)
            }
        }
        monitor.unlock()
    }

    /// A spare lane's whole life: sleeps, but while every other lane is stuck.
    ///
    /// - Parameter number: among the spare lanes, of which each waits for those before it as well.
    func runSpareLane(_ number: Int, scratch: AlignedMemory?) {
        monitor.lock()
        while !isStopping {
            if let slot = slotForSpareLane(number) {
                spareBusyCount += 1
                answer(table.takePart(of: slot), scratch: scratch)
                spareBusyCount -= 1
            } else {
                if let scratch { scratch.giveBack(at: 0, byteCount: scratch.byteCount) }
                spareWanted.wait(in: monitor)
            }
        }
        monitor.unlock()
    }

    /// What a spare lane is to read: something that was asked for, if all lanes before it have been at one read each for longer
    /// than storage that works ever takes.
    private func slotForSpareLane(_ number: Int) -> Int? {
        let duration = ExpertStore.slowReadDuration
        guard number < limits.spareLanes, let slot = table.firstQueued(withoutReadFor: duration),
            table.laneCount(stuckFor: duration) >= laneCount + number
        else { return nil }
        return slot
    }

    /// Sleeps until a part of any expert has been read, for 20 ms at most. If none has, sees whether spare lanes are needed.
    func waitForPart() {
        if partArrived.wait(in: monitor, milliseconds: 20) { return }
        if slotForSpareLane(0) != nil { spareWanted.broadcast() }
    }

    /// Reads a part that was asked for. The monitor is locked before and after, here and in what follows.
    func answer(_ read: SlotTable.Read, scratch: AlignedMemory?) {
        busyCount += 1
        let failure = transfer(range(of: read), of: read, scratch: scratch)
        complete(read, failure, scratch: scratch)
        busyCount -= 1
        // Whoever asked may have let go meanwhile.
        if table.isForsaken(read.slot) { table.abandon(read.slot) }
    }

    /// Reads a range of what is stored for the expert; what isn't used as it is stored goes by the lane's own memory.
    func transfer(_ range: Range<Int>, of read: SlotTable.Read, scratch: AlignedMemory?) -> PagingError? {
        let source = sources[read.expert]
        monitor.unlock()
        let start = ContinuousClock.now
        kept?.clear(read.slot)
        willRead?(source.key, range)
        var failure: PagingError?
        do {
            if source.isStored {
                try unsafe file.read(range, of: source, into: address(of: read.slot) + range.lowerBound)
            } else if let scratch {
                try unsafe file.read(range, of: source, into: scratch.base + range.lowerBound)
            }
        } catch {
            failure = .unreadable(source, cause: error)
        }
        readNanoseconds.add(start.nanosecondsUntilNow, ordering: .relaxed)
        monitor.lock()
        if failure == nil { layerCounters[source.key.layer].bytesRead += UInt64(range.count) }
        return failure
    }

    /// A part is there, or can't be read. After the last one the checksum is compared, unless that was done before and the file
    /// is as it was then, what is packed is unpacked, and two planes are put together; the table hears of it after that.
    func complete(_ read: SlotTable.Read, _ failure: PagingError?, scratch: AlignedMemory?) {
        var failure = failure
        let isLast = table.isLastPart(of: read.slot)
        if failure == nil, isLast {
            failure = check(read, scratch: scratch)
        }
        if !table.hasFailed(read.slot), failure != nil || isLast {
            layerCounters[sources[read.expert].key.layer].reads += 1
            if failure != nil { failures.add(1, ordering: .relaxed) }
        }
        table.finish(read, failure: failure)
        partArrived.broadcast()
    }

    private func check(_ read: SlotTable.Read, scratch: AlignedMemory?) -> PagingError? {
        let source = sources[read.expert]
        let verifiedThen = verified[read.expert] ? verifiedStamp : nil
        monitor.unlock()
        let start = ContinuousClock.now
        let stamp = file.container.stamp
        let failure = decode(
            source, of: read, scratch: scratch, verify: verifiedThen == nil || verifiedThen != stamp)
        readNanoseconds.add(start.nanosecondsUntilNow, ordering: .relaxed)
        monitor.lock()
        if failure == nil { noteVerified(read.expert, stamp) }
        return failure
    }

    private func decode(
        _ source: ExpertSource, of read: SlotTable.Read, scratch: AlignedMemory?, verify mustVerify: Bool
    ) -> PagingError? {
        let target = unsafe address(of: read.slot)
        do {
            if source.isStored {
                let stored = unsafe UnsafeRawBufferPointer(start: target, count: source.storedByteCount)
                if mustVerify { try unsafe file.verify(stored, of: source) }
            } else if let scratch {
                let read = unsafe UnsafeMutableRawBufferPointer(start: scratch.base, count: scratch.byteCount)
                try unsafe file.decode(source, scratch: read, into: target, verify: mustVerify)
            }
            keep(read.expert, in: read.slot)
            return nil
        } catch {
            return .unreadable(source, cause: error)
        }
    }

    /// An expert is sound that was read while the file was as the stamp says, with the monitor locked.
    private func noteVerified(_ expert: Int, _ stamp: FileStamp?) {
        if stamp != verifiedStamp {
            for other in verified.indices { verified[other] = false }
            verifiedStamp = stamp
        } else {
            verified[expert] = true
        }
    }
}
