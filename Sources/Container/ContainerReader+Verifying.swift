package import Compute
internal import Synchronization

/// One thing that is wrong with a container's data.
package struct ContainerProblem: Sendable, Equatable, Codable {
    /// The tensor or expert; `padding` for what lies between two of them.
    package var name: String
    package var offset: UInt64
    package var byteCount: Int
    package var reason: String

    package init(name: String, offset: UInt64, byteCount: Int, reason: String) {
        self.name = name
        self.offset = offset
        self.byteCount = byteCount
        self.reason = reason
    }
}

extension ContainerReader {
    /// Every tensor and blob, in the order of the file.
    package var arrays: [ArrayRecord] {
        let own = Records(tensors: tensors, experts: experts, refinements: refinements)
        let all = [own, prediction].flatMap { records in
            records.tensors.values.map { ArrayRecord.tensor($0) }
                + records.experts.values.map { ArrayRecord.expert($0) }
                + records.refinements.values.map { ArrayRecord.refinement($0) }
        }
        return all.sorted { $0.offset < $1.offset }
    }

    /// An expert with its refinement if it has one, of any layer.
    package func planes(of key: ExpertKey) -> (expert: ExpertRecord, refinement: RefinementRecord?)? {
        (experts[key] ?? prediction.experts[key]).map { ($0, refinements[key] ?? prediction.refinements[key]) }
    }

    /// Whether there are layers for multi-token prediction.
    package var hasPrediction: Bool { metadata.configuration.predictionLayers != nil }

    /// Second planes, of any layer.
    package var planeCount: Int { refinements.count + prediction.refinements.count }

    /// Bytes that `problems` reads.
    package var dataByteCount: Int { arrays.reduce(0) { $0 + $1.storedByteCount } }

    /// Reads everything that opening the file didn't: compares every checksum, looks for numbers that aren't finite, and
    /// for padding that isn't zero. Shapes and places were checked when the file was opened.
    ///
    /// Takes some 8 MB of memory a thread, twice the size of a packed blob where there are any.
    ///
    /// - Parameters:
    ///   - progress: called from any thread with the number of bytes that have been read since.
    ///   - isCancelled: polled every few megabytes; true ends the work early.
    /// - Returns: what is wrong, in the order of the file.
    package func problems(
        on pool: ThreadPool, progress: (Int) -> Void = { _ in }, isCancelled: () -> Bool = { false }
    ) -> [ContainerProblem] {
        let arrays = arrays
        let problems = Mutex<[ContainerProblem]>([])
        pool.forEach(arrays.count + 1) { index in
            guard !isCancelled() else { return }
            let start = index == 0 ? UInt64(ContainerFormat.superblockByteCount) : arrays[index - 1].end
            let end = index < arrays.count ? arrays[index].offset : fileByteCount - indexByteCount
            if let problem = paddingProblem(start..<max(start, end)) { problems.withLock { $0.append(problem) } }
            guard index < arrays.count else { return }
            let record = arrays[index]
            let reason: String?
            do throws(ContainerError) {
                reason = try fault(in: record, progress, isCancelled)
            } catch {
                reason = "can't be read: \(error.found)"
            }
            guard let reason else { return }
            let problem = ContainerProblem(
                name: record.name, offset: record.offset, byteCount: record.storedByteCount, reason: reason)
            problems.withLock { $0.append(problem) }
        }
        return problems.withLock { $0 }.sorted { $0.offset < $1.offset }
    }

    private func paddingProblem(_ range: Range<UInt64>) -> ContainerProblem? {
        var reason = "isn't zero"
        do throws(ContainerError) {
            let bytes = try file.readArray(at: range.lowerBound, byteCount: range.count, "padding")
            if bytes.allSatisfy({ $0 == 0 }) { return nil }
        } catch {
            reason = "can't be read: \(error.found)"
        }
        return ContainerProblem(name: "padding", offset: range.lowerBound, byteCount: range.count, reason: reason)
    }

    private func fault(
        in record: ArrayRecord, _ progress: (Int) -> Void, _ isCancelled: () -> Bool
    ) throws(ContainerError) -> String? {
        if let byteCount = record.packedByteCount {
            return try packedFault(in: record, byteCount: byteCount, progress)
        }
        var scan = FiniteScan()
        guard var stream = XXH3.Stream() else { throw file.outOfMemory(record.name) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: record.longestPiece, alignment: 64)
        defer { unsafe buffer.deallocate() }
        var place = record.offset
        for section in record.sections {
            let step = max(1, buffer.count / section.strideByteCount)
            for first in stride(from: 0, to: section.count, by: step) {
                if isCancelled() { return nil }
                let count = min(step, section.count - first)
                let piece = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: buffer[..<(count * section.strideByteCount)])
                try unsafe file.read(at: place, into: piece, record.name)
                unsafe stream.update(UnsafeRawBufferPointer(piece))
                unsafe scan.look(at: UnsafeRawBufferPointer(piece), section)
                place += UInt64(piece.count)
                progress(piece.count)
            }
        }
        return reason(checksum: stream.finalize(), record.checksum, scan)
    }

    /// - Parameter byteCount: unpacked.
    private func packedFault(
        in record: ArrayRecord, byteCount: Int, _ progress: (Int) -> Void
    ) throws(ContainerError) -> String? {
        let packed = UnsafeMutableRawBufferPointer.allocate(byteCount: record.storedByteCount, alignment: 64)
        defer { unsafe packed.deallocate() }
        try unsafe file.read(at: record.offset, into: packed, record.name)
        progress(packed.count)
        let checksum = unsafe XXH3.hash(UnsafeRawBufferPointer(packed))
        guard checksum == record.checksum else {
            return reason(checksum: checksum, record.checksum, FiniteScan())
        }
        let blob = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCount, alignment: 64)
        defer { unsafe blob.deallocate() }
        guard unsafe LZ4.unpack(UnsafeRawBufferPointer(packed), into: blob) else {
            return "isn't an LZ4 block of \(byteCount) bytes"
        }
        var scan = FiniteScan()
        var place = 0
        for section in record.sections {
            let end = place + section.count * section.strideByteCount
            unsafe scan.look(at: UnsafeRawBufferPointer(rebasing: blob[place..<end]), section)
            place = end
        }
        return reason(checksum: checksum, record.checksum, scan)
    }

    private func reason(checksum: UInt64, _ expected: UInt64, _ scan: FiniteScan) -> String? {
        if checksum != expected {
            return "has the checksum \(hexadecimal(checksum)) instead of \(hexadecimal(expected))"
        }
        return scan.isFinite ? nil : "holds a number that isn't finite"
    }
}

extension ArrayRecord {
    var end: UInt64 { offset + UInt64(storedByteCount) }

    /// Panels or rows of one size that follow one another.
    struct Section {
        let strideByteCount: Int
        let count: Int
        /// nil for refinements, in which every byte makes sense.
        let shape: MatrixShape?
    }

    /// Bytes once unpacked; nil for what isn't packed.
    fileprivate var packedByteCount: Int? {
        switch self {
        case .expert(let record): record.codec == .stored ? nil : record.byteCount
        case .refinement(let record): record.codec == .stored ? nil : record.byteCount
        case .tensor: nil
        }
    }

    /// What the unpacked bytes consist of, from the first to the last.
    var sections: [Section] {
        switch self {
        case .tensor(let record): return [Section(record.shape)]
        case .expert(let record):
            let layout = record.layout
            return [Section(layout.gateShape, times: layout.gateUpCount), Section(layout.downShape)]
        case .refinement(let record): return [Section(strideByteCount: 128, count: record.byteCount / 128, shape: nil)]
        }
    }

    /// Large enough for reads that storage likes, and for one panel.
    fileprivate var longestPiece: Int { max(4 << 20, sections.map(\.strideByteCount).max() ?? 0) }
}

extension ArrayRecord.Section {
    fileprivate init(_ shape: MatrixShape, times: Int = 1) {
        self.shape = shape
        strideByteCount = shape.strideByteCount
        count = times * shape.byteCount / max(1, shape.strideByteCount)
    }
}

/// Looks for NaN and infinity among floats and scales. There is no branch an element: it costs less than a checksum.
private struct FiniteScan {
    private(set) var isFinite = true

    mutating func look(at bytes: UnsafeRawBufferPointer, _ section: ArrayRecord.Section) {
        guard let shape = section.shape else { return }
        switch shape.format {
        case .f32: unsafe look(at: bytes, exponent: UInt32(0x7F80_0000))
        case .bf16: unsafe look(at: bytes, exponent: UInt16(0x7F80))
        case .f16: unsafe look(at: bytes, exponent: UInt16(0x7C00))
        case .q8, .q4:
            let exponent: UInt16 = shape.scaleFormat == .f16 ? 0x7C00 : 0x7F80
            for start in stride(from: 0, to: bytes.count, by: section.strideByteCount) {
                let scales = unsafe UnsafeRawBufferPointer(
                    rebasing: bytes[start..<start + shape.scaleByteCount])
                unsafe look(at: scales, exponent: exponent)
            }
        }
    }

    private mutating func look<Word: FixedWidthInteger>(at bytes: UnsafeRawBufferPointer, exponent: Word) {
        let words = unsafe bytes.assumingMemoryBound(to: Word.self)
        var found: Word = 0
        for index in words.indices { found |= unsafe words[index] & exponent == exponent ? 1 : 0 }
        if found != 0 { isFinite = false }
    }
}
