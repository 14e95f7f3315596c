package import Checkpoint
import Compute
package import Container

/// Turns a checkpoint into a container.
///
/// Works through it front to back, in batches that bound the memory. Whatever ends it, the writer's journal says what
/// is complete, and another conversion with the same fingerprint can go on from there.
package struct Conversion {
    private let checkpoint: Checkpoint
    private let plan: FormatPlan
    private let workers: ConversionWorkers
    private let units: [ConversionUnit]

    private var progress: ConversionProgress { workers.progress }

    package init(
        _ checkpoint: Checkpoint, plan: FormatPlan, packing: Packing, encoding: EncodingOptions = EncodingOptions(),
        threadCount: Int, progress: ConversionProgress, cancellation: Cancellation = Cancellation()
    ) {
        self.checkpoint = checkpoint
        self.plan = plan
        workers = ConversionWorkers(
            pool: ThreadPool(threadCount: threadCount), packing: packing, encoding: encoding,
            progress: progress, cancellation: cancellation)
        // Resident tensors first, so that loading them is one sequential read.
        var units = checkpoint.tensors.flatMap {
            ConversionUnit.units(
                of: $0, plan.shape(of: $0.requirement).importing($0.matrix),
                table: plan.type(of: $0.requirement.key).table)
        }
        for expert in checkpoint.experts {
            guard let layout = plan.layout(of: expert.key) else { continue }
            let types = plan.types(of: expert.key)
            units.append(
                ConversionUnit(
                    expert, layout.importing(expert), plan.refinement(of: expert.key)?.importing(expert),
                    .init(first: types.gateUp.table, down: types.down.table)))
        }
        self.units = units
    }

    private func fingerprint(_ tool: String) throws -> ConversionFingerprint {
        let recipe = plan.recipe(tool: tool, packing: workers.packing, encoding: workers.encoding)
        return try ConversionFingerprint(checkpoint, recipe, units)
    }

    /// Bytes of the checkpoint that a conversion reads, for `ConversionProgress`.
    package static func sourceByteCount(of checkpoint: Checkpoint) -> Int {
        checkpoint.tensors.reduce(0) { $0 + $1.matrix.byteCount }
            + checkpoint.experts.reduce(0) { $0 + $1.matrices.reduce(0) { $0 + $1.byteCount } }
    }

    /// Converts everything, except what `writer` can take up, and finishes the container.
    ///
    /// - Parameter tool: the program and its version, which the container names. Another version may make other bytes.
    /// - Throws: `CheckpointError`, `ContainerError`, `QuantizerError`, or `ComputeError` when memory runs out. What is
    ///   complete then stays for another run, if it can be of use.
    package func run(into writer: ContainerWriter, tool: String) throws -> ConversionReport {
        do {
            return try convert(into: writer, try fingerprint(tool))
        } catch {
            // A checkpoint that has to change, or another recipe, makes another file.
            switch error {
            case let error as CheckpointError where error.code != .inputOutput: writer.abandon()
            case let error as QuantizerError where error.code == .outOfRange: writer.abandon()
            default: break
            }
            throw error
        }
    }

    /// Whether an earlier run finished this very file and was ended before it could tidy up.
    package func isFinished(path: String, tool: String) throws -> Bool {
        guard let identity = try ContainerWriter.identityOfFinished(path: path) else { return false }
        let fingerprint = try fingerprint(tool)
        guard fingerprint.differences(from: identity).isEmpty,
            try ContainerReader(path: path).metadata.recipe == fingerprint.recipe
        else { return false }
        ContainerWriter.forgetFinished(path: path)
        return true
    }

    private func convert(
        into writer: ContainerWriter, _ fingerprint: ConversionFingerprint
    ) throws -> ConversionReport {
        var report = ConversionReport()
        let hashing = SourceHashing(checkpoint.files, units)
        let start = try takeUp(writer, fingerprint, &report, hashing)
        var losses: [MatrixEncoder.Loss] = []
        for range in workers.batches(units[start...]) {
            let files = hashing.startDue()
            try workers.make(
                Array(units[range]), beside: files.count,
                { index in try hash(files[index], hashing) },
                take: { made in
                    losses = losses.isEmpty ? made.losses : zip(losses, made.losses).map { $0 + $1 }
                    try append(made, losses, to: writer, &report)
                    if made.unit.isLast { losses = [] }
                })
            hashing.converted(units[range])
            for note in hashing.takeNotes() { try writer.appendToJournal(note: note) }
        }
        progress.enter(.hashing)
        let files = hashing.startAll()
        _ = try workers.inParallel(files.count) { try hash(files[$0], hashing) }
        progress.enter(.finishing)
        try workers.cancellation.check()
        try writer.finish(
            metadata: ModelMetadata(
                configuration: checkpoint.configuration, generationDefaults: checkpoint.generationDefaults,
                recipe: fingerprint.recipe, sources: hashing.sources, losses: report.losses.recorded),
            text: checkpoint.text)
        report.sourceByteCount = progress.totalByteCount
        report.fileByteCount = try InputFile(path: writer.path).byteCount
        report.byteCountPerToken = plan.byteCountPerToken
        report.coarseByteCountPerToken = plan.isNested ? plan.byteCountPerToken(planes: .coarse) : nil
        report.skipped = checkpoint.skipped
        report.warnings = checkpoint.warnings
        return report
    }

    /// Starts the journal, or counts what an earlier run has finished.
    ///
    /// - Returns: the first unit that is to be made.
    private func takeUp(
        _ writer: ContainerWriter, _ fingerprint: ConversionFingerprint, _ report: inout ConversionReport,
        _ hashing: SourceHashing
    ) throws -> Int {
        guard let identity = writer.earlierIdentity else {
            try writer.startJournal(identity: try fingerprint.encoded())
            return 0
        }
        let differences = fingerprint.differences(from: identity)
        guard differences.isEmpty else {
            throw QuantizerError(
                code: .changed,
                message: "the unfinished conversion can't go on, because since it began there have changed: "
                    + differences.joined(separator: "; "),
                advice: "Put that back as it was, or start over with --force")
        }
        var next = 0
        // The first plane of an expert that waits for its second one. If that is missing, the expert is made again.
        var first: (record: ArrayRecord, note: [UInt8])?
        for entry in try writer.takeUp() {
            switch entry {
            case .note(let note): hashing.takeUp(note)
            case .array(let record, let note):
                let start = next
                let isSecond = if case .refinement = record { true } else { false }
                while next < units.count, units[next].isPart(of: record) { next += 1 }
                guard next > start, isSecond == (first != nil) else {
                    throw QuantizerError(
                        code: .changed, message: "the unfinished conversion has \(record.name) where another is due",
                        advice: "Start over with --force")
                }
                if units[start].refinementRange != nil, !isSecond {
                    first = (record, note)
                    next = start
                    continue
                }
                enter(
                    units[start], (first.map { [$0.record] } ?? []) + [record],
                    ConversionNote.losses(first?.note ?? note), in: &report)
                first = nil
                report.resumedArrayCount += 1
                progress.advance(units[start..<next].reduce(0) { $0 + $1.sourceByteCount })
            }
        }
        hashing.converted(units[..<next])
        progress.advanceHash(hashing.hashedByteCount)
        return next
    }

    private func hash(_ file: Int, _ hashing: SourceHashing) throws {
        hashing.finish(
            file, try hashing.checksum(of: file, progress: progress, cancellation: workers.cancellation))
    }

    private func append(
        _ made: ConversionWorkers.Made, _ losses: [MatrixEncoder.Loss], to writer: ContainerWriter,
        _ report: inout ConversionReport
    ) throws {
        let records = try writer.append(made, note: ConversionNote.encoded(losses))
        if !records.isEmpty { enter(made.unit, records, losses, in: &report) }
    }

    /// Counts a complete array, or an expert with its planes.
    private func enter(
        _ unit: ConversionUnit, _ records: [ArrayRecord], _ losses: [MatrixEncoder.Loss],
        in report: inout ConversionReport
    ) {
        report.arrayCount += 1
        report.storedByteCount += records.reduce(0) { $0 + $1.storedByteCount }
        if case .expert(let record) = records.first {
            report.expertCount += 1
            report.packedExpertCount += record.codec == .stored ? 0 : 1
        }
        report.losses.add(unit, losses)
        // Nobody can record what goes into layers that only predict.
        if (unit.layer ?? 0) < checkpoint.configuration.layerCount {
            report.uncompensated += workers.encoding.uncompensated(unit)
        }
        for (part, loss) in zip(unit.parts, losses) {
            let format: BlockFormat = part.refinementOffset == nil ? part.encoder.shape.format : .q8
            report.add(.init(name: part.source.name, format: format, loss: loss), weightCount: part.source.weightCount)
            let isUneven = !part.source.columns.isMultiple(of: BlockFormat.groupSize)
            if format == .bf16, isUneven, plan.type.format.isQuantized { report.unquantized.append(part.source.name) }
        }
    }
}
