package import Checkpoint
import Compute
package import Container
import Synchronization

/// Makes arrays of a container anew from its checkpoint, in the formats that they have there.
///
/// The bytes depend on the checkpoint, on the formats, which every record names, on the method and the importance matrix,
/// and on the tool's version. So a made array can be compared with the record's checksum: no other proof is needed that
/// the sources are the same.
package struct Remaking {
    private let reader: ContainerReader
    private let tensors: [TensorKey: SourceTensor]
    private let experts: [ExpertKey: SourceExpert]
    private let workers: ConversionWorkers

    /// - Parameter importance: the matrix that the container was made with, if it was.
    /// - Throws: `QuantizerError` with `changed`, naming what differs, if this tool wouldn't make the same container of
    ///   this checkpoint.
    package init(
        _ reader: ContainerReader, from checkpoint: Checkpoint, importance: ImportanceMatrix? = nil, tool: String,
        threadCount: Int, progress: ConversionProgress, cancellation: Cancellation
    ) throws(QuantizerError) {
        let recipe = reader.metadata.recipe
        if recipe.randomSeed != nil {
            throw Self.unfit("its weights are random and come from no checkpoint", advice: "Synthesize it again")
        }
        guard recipe.tool == tool else {
            throw Self.unfit(
                "it was made by \(recipe.tool), and this is \(tool)", advice: "Use that version, or convert again")
        }
        guard let method = QuantizationMethod(rawValue: recipe.method ?? "") else {
            throw Self.unfit("it doesn't say by which method it was made", advice: "Convert the checkpoint again")
        }
        guard recipe.importance?.fingerprint == importance?.source.fingerprint else {
            let own = recipe.importance.map { "the importance matrix \($0.fingerprint)" } ?? "no importance matrix"
            throw Self.unfit(
                "it was made with \(own), and \(importance?.source.fingerprint ?? "none") is given",
                advice: "Give the one that it was made with (--imatrix)")
        }
        guard checkpoint.configuration == reader.metadata.configuration else {
            throw Self.unfit(
                "its configuration isn't that of the checkpoint \(checkpoint.path)",
                advice: "Name the checkpoint that it was made from")
        }
        self.reader = reader
        tensors = Dictionary(uniqueKeysWithValues: checkpoint.tensors.map { ($0.requirement.key, $0) })
        experts = Dictionary(uniqueKeysWithValues: checkpoint.experts.map { ($0.key, $0) })
        workers = ConversionWorkers(
            pool: ThreadPool(threadCount: threadCount), packing: recipe.packing,
            encoding: EncodingOptions(method: method, importance: importance), progress: progress,
            cancellation: cancellation)
    }

    private static func unfit(_ reason: String, advice: String) -> QuantizerError {
        QuantizerError(code: .changed, message: "the container can't be made again: \(reason)", advice: advice)
    }

    private func units(of record: ArrayRecord) -> [ConversionUnit] {
        switch record {
        case .tensor(let record):
            tensors[record.key].map { ConversionUnit.units(of: $0, record.shape, table: record.table) } ?? []
        case .expert(let record):
            experts[record.key].map { expert in
                let tables = ConversionUnit.Tables(first: record.layout.gateUpTable, down: record.layout.downTable)
                let refinement = reader.planes(of: record.key)?.refinement
                return [ConversionUnit(expert, record.layout, refinement?.layout, tables)]
            } ?? []
        case .refinement(let record):
            // It is made with its expert.
            reader.planes(of: record.key).map { units(of: .expert($0.expert)) } ?? []
        }
    }

    /// What the container has of a unit that is made together, in the order in which it is made.
    private func records(of record: ArrayRecord) -> [ArrayRecord] {
        let key: ExpertKey
        switch record {
        case .tensor: return [record]
        case .expert(let record): key = record.key
        case .refinement(let record): key = record.key
        }
        guard let planes = reader.planes(of: key) else { return [] }
        return [.expert(planes.expert)] + (planes.refinement.map { [.refinement($0)] } ?? [])
    }

    /// Makes everything again, and keeps nothing of it.
    ///
    /// - Returns: the records whose checksums aren't those of what was made, in the order of the file.
    package func differences() throws -> [ContainerProblem] {
        let records = reader.arrays.filter { if case .refinement = $0 { false } else { true } }
        var units: [ConversionUnit] = []
        var owners: [Int] = []
        for (place, record) in records.enumerated() {
            let made = self.units(of: record)
            units += made
            owners += made.map { _ in place }
        }
        var problems: [ContainerProblem] = []
        var checksum = try PieceChecksum()
        var next = 0
        for range in workers.batches(units[...]) {
            try workers.make(Array(units[range])) { made in
                let record = records[owners[next]]
                next += 1
                var found = made.packed.map(\.checksum)
                if !made.unit.isExpert {
                    found.append(try unsafe checksum.add(made.bytes, isLast: made.unit.isLast))
                }
                guard made.unit.isLast else { return }
                for (record, found) in zip(self.records(of: record), found) where found != record.checksum {
                    problems.append(
                        ContainerProblem(
                            record,
                            "has the checksum \(hexadecimal(record.checksum)); made again it is "
                                + hexadecimal(found)))
                }
            }
        }
        return problems
    }

    /// Writes a copy in which the records at the offsets `bad` are made anew, and everything else is copied.
    ///
    /// - Parameter importance: the matrix that the container was made with, if it was.
    /// - Throws: `QuantizerError` with `changed` if a record made anew isn't what the container had. The writer then
    ///   removes its file when it is let go.
    package func repair(_ bad: Set<UInt64>, into writer: ContainerWriter) throws {
        var done: Set<UInt64> = []
        for record in reader.arrays where !done.contains(record.offset) {
            try workers.cancellation.check()
            if !bad.contains(record.offset) {
                try writer.append(copyOf: record, from: reader)
                workers.progress.advance(record.storedByteCount)
                continue
            }
            var made: [ArrayRecord] = []
            for unit in units(of: record) {
                try workers.make([unit]) { made = try writer.append($0) }
            }
            done.formUnion(made.map(\.offset))
            guard made == records(of: record) else {
                throw QuantizerError(
                    code: .changed,
                    message: "\(record.name), made anew, isn't what the container had: the checkpoint isn't the one "
                        + "that it was made from",
                    advice: "Name that checkpoint, or convert this one")
            }
        }
        try writer.finish(
            metadata: reader.metadata, text: reader.text, indexChecksum: reader.indexChecksum)
    }
}

extension ContainerProblem {
    fileprivate init(_ record: ArrayRecord, _ reason: String) {
        self.init(
            name: record.name, offset: record.offset, byteCount: record.storedByteCount, reason: reason)
    }
}

extension ContainerWriter {
    /// - Returns: the record, if the array is complete with this unit; of an expert one a plane.
    func append(_ made: ConversionWorkers.Made, note: [UInt8] = []) throws(ContainerError) -> [ArrayRecord] {
        switch made.unit.content {
        case .tensor(let tensor, let shape, let table, _):
            let record = try unsafe append(
                piece: made.bytes, ofTensor: tensor.requirement.key, shape: shape, table: table, note: note)
            return record.map { [$0] } ?? []
        case .expert(let expert, let layout, let refinement):
            guard let blob = made.packed.first, let last = made.packed.last else { return [] }
            guard let refinement else {
                return [
                    try unsafe append(expert: expert.key, layout: layout, bytes: made.blob, packed: blob, note: note)
                ]
            }
            // The first plane may be there already, when a run ended between the two or only the second was damaged.
            let first =
                if let record = experts[expert.key] {
                    ArrayRecord.expert(record)
                } else {
                    try unsafe append(expert: expert.key, layout: layout, bytes: made.blob, packed: blob, note: note)
                }
            let second = try unsafe append(
                refinementOf: expert.key, layout: refinement, bytes: made.refinement, packed: last)
            return [first, second]
        }
    }
}

/// The checksum of a tensor whose pieces come one after the other.
private struct PieceChecksum: ~Copyable {
    private var stream: XXH3.Stream

    init() throws(QuantizerError) { stream = try Self.fresh() }

    private static func fresh() throws(QuantizerError) -> XXH3.Stream {
        guard let stream = XXH3.Stream() else {
            throw QuantizerError(code: .outOfMemory, message: "there is no memory for a checksum")
        }
        return stream
    }

    /// - Returns: the checksum of all pieces so far. After the last one the next tensor begins.
    mutating func add(_ bytes: UnsafeRawBufferPointer, isLast: Bool) throws(QuantizerError) -> UInt64 {
        unsafe stream.update(bytes)
        let checksum = stream.finalize()
        if isLast { stream = try Self.fresh() }
        return checksum
    }
}
