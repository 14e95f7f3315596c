package import Checkpoint
package import Compute
package import Container

/// What a conversion will make and take, computed without making it.
package struct ConversionForecast: Sendable {
    /// One resident tensor, or all routed experts' matrices of one kind, shape and type.
    package struct Line: Sendable {
        /// Canonical; a pattern for experts.
        package var name: String
        package var rows: Int
        package var columns: Int
        package var matrixCount: Int
        package var format: BlockFormat
        /// Whether there is a second plane, which makes it `q8`.
        package var isRefined = false
        /// With all planes.
        package var byteCount: Int

        package var weightCount: Int { rows * columns * matrixCount }
        package var bitsPerWeight: Double { Double(byteCount) * 8 / Double(max(weightCount, 1)) }
    }

    /// In the order of the file.
    package let lines: [Line]
    package let weightCount: Int
    /// Bytes of all arrays as they will be in memory.
    package let arrayByteCount: Int
    /// Of which every token needs this much.
    package let denseByteCount: Int
    package let expertByteCounts: [Int]
    /// With the first planes alone; the same where there is one.
    package let coarseExpertByteCounts: [Int]
    package let byteCountPerToken: Int
    /// Of the file if no blob packs, and a little more: how long the recorded losses get isn't known before.
    package let fileByteCount: Int
    /// An upper estimate of the memory that converting takes.
    package let peakByteCount: Int

    package var bitsPerWeight: Double { Double(arrayByteCount) * 8 / Double(max(weightCount, 1)) }
    package var greatestExpertByteCount: Int { expertByteCounts.max() ?? 0 }

    /// - Throws: `ContainerError` if the metadata can't be stored.
    package init(
        _ checkpoint: Checkpoint, plan: FormatPlan, tool: String, packing: Packing,
        encoding: EncodingOptions = EncodingOptions(), threadCount: Int
    ) throws(ContainerError) {
        let metadata = ModelMetadata(
            configuration: checkpoint.configuration, generationDefaults: checkpoint.generationDefaults,
            recipe: plan.recipe(tool: tool, packing: packing, encoding: encoding),
            sources: checkpoint.files.map { file in
                let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
                return SourceFile(name: name, byteCount: file.byteCount, checksum: 0)
            }, losses: Self.longestLosses(checkpoint.configuration))
        var size = ContainerSize()
        var lines: [Line] = []
        var dense = 0
        for tensor in checkpoint.tensors {
            let shape = plan.shape(of: tensor.requirement).importing(tensor.matrix)
            size.addTensor(byteCount: shape.byteCount)
            let isRead = (tensor.requirement.key.layer ?? 0) < checkpoint.configuration.layerCount
            if isRead { dense += MatrixShape.padded(shape.byteCount) }
            lines.append(
                Line(
                    name: tensor.requirement.key.description, rows: shape.rows, columns: shape.columns, matrixCount: 1,
                    format: shape.format, byteCount: shape.byteCount))
        }
        let layouts = checkpoint.experts.compactMap { expert in
            plan.layout(of: expert.key).map {
                ExpertForm(
                    key: expert.key, layout: $0.importing(expert),
                    refinement: plan.refinement(of: expert.key)?.importing(expert))
            }
        }
        for form in layouts {
            size.addExpert(byteCount: form.layout.byteCount)
            if let refinement = form.refinement { size.addExpert(byteCount: refinement.byteCount) }
        }
        lines += Self.expertLines(layouts)

        self.lines = lines
        let read = layouts.filter { $0.key.layer < checkpoint.configuration.layerCount }
        expertByteCounts = read.map(\.byteCount)
        coarseExpertByteCounts = read.map(\.layout.byteCount)
        denseByteCount = dense
        weightCount = lines.reduce(0) { $0 + $1.weightCount }
        arrayByteCount = lines.reduce(0) { $0 + $1.byteCount }
        byteCountPerToken = plan.byteCountPerToken
        fileByteCount = try size.fileByteCount(metadata: metadata, text: checkpoint.text)
        peakByteCount =
            Conversion.peakByteCount(
                greatestArray: lines.filter { $0.matrixCount == 1 }.map(\.byteCount).max() ?? 0,
                greatestExpert: expertByteCounts.max() ?? 0, matrixCount: checkpoint.tensors.count + 3 * layouts.count,
                textByteCount: (checkpoint.text.tokenizerJSON?.count ?? 0), threadCount: threadCount)
            + Self.compensationByteCount(lines, encoding, threadCount: threadCount)
    }

    /// An upper estimate of what `gptq` needs beside the rest: as many factors are made at a time as threads and a
    /// batch's limit allow.
    private static func compensationByteCount(_ lines: [Line], _ encoding: EncodingOptions, threadCount: Int) -> Int {
        guard encoding.method == .gptq else { return 0 }
        let columns = Set(lines.filter { $0.format.isQuantized }.map(\.columns))
        let making =
            columns.map { columns in
                let together = ConversionWorkers.batchByteCount / max(1, Compensation.byteCount(columns: columns))
                return min(threadCount, max(1, together)) * Compensation.workByteCount(columns: columns)
            }.max() ?? 0
        let kept = columns.map { Compensation.byteCount(columns: $0) }.max() ?? 0
        return making + ConversionWorkers.batchByteCount + HessianStore.cacheCount * kept
    }

    /// As many losses as will be recorded, each as long as its text can get.
    private static func longestLosses(_ configuration: ModelConfiguration) -> [RecordedLoss] {
        let error = 1.2345678901234567e-05
        let tensors = configuration.storedTensors.map {
            RecordedLoss(layer: $0.key.layer, kind: $0.key.role.name, matrixCount: 1, relativeError: error)
        }
        let experts = configuration.storedLayers.filter(configuration.isSparse).flatMap { layer in
            ["gate", "up", "down"].map {
                RecordedLoss(
                    layer: layer, kind: "experts.\($0)",
                    matrixCount: configuration.experts?.routedExpertCount ?? 1, relativeError: error)
            }
        }
        return tensors + experts
    }

    /// One routed expert as it will be stored.
    private struct ExpertForm {
        var key: ExpertKey
        var layout: ExpertLayout
        var refinement: RefinementLayout?

        /// In memory, with all planes.
        var byteCount: Int { refinement.map { layout.refined(by: $0) }?.byteCount ?? layout.byteCount }
    }

    /// Layers whose experts are all alike share a line.
    private static func expertLines(_ forms: [ExpertForm]) -> [Line] {
        struct Group {
            var layout: ExpertLayout
            var refinement: RefinementLayout?
            var keys: [ExpertKey]
        }
        var groups: [Group] = []
        for form in forms {
            let index = groups.firstIndex { $0.layout == form.layout && $0.refinement == form.refinement }
            if let index {
                groups[index].keys.append(form.key)
            } else {
                groups.append(Group(layout: form.layout, refinement: form.refinement, keys: [form.key]))
            }
        }
        return groups.flatMap { group in
            let layers = Set(group.keys.map(\.layer)).sorted()
            let count = group.keys.count
            let (gate, down) = (group.layout.gateShape, group.layout.downShape)
            let isRefined = (
                gateUp: group.refinement?.refinesGateUp ?? false, down: group.refinement?.refinesDown ?? false
            )
            return [
                Line(
                    name: WeightKind.expertGateUp.pattern(layers: layers), rows: gate.rows, columns: gate.columns,
                    matrixCount: group.layout.gateUpCount * count, format: gate.format,
                    isRefined: isRefined.gateUp,
                    byteCount: group.layout.gateUpCount * count * (isRefined.gateUp ? gate.refined : gate).byteCount),
                Line(
                    name: WeightKind.expertDown.pattern(layers: layers), rows: down.rows, columns: down.columns,
                    matrixCount: count, format: down.format, isRefined: isRefined.down,
                    byteCount: count * (isRefined.down ? down.refined : down).byteCount),
            ]
        }
    }
}

extension Conversion {
    /// An upper estimate: a batch of arrays and the packed copies of its blobs, the rows that each thread works on, what
    /// is known of every matrix, and the process itself.
    package static func peakByteCount(
        greatestArray: Int, greatestExpert: Int, matrixCount: Int, textByteCount: Int, threadCount: Int
    ) -> Int {
        let process = 32 << 20
        let bytesPerMatrix = 1024
        let bytesPerThread = 8 << 20
        let batch = max(ConversionWorkers.batchByteCount, greatestExpert)
        let packed = greatestExpert > 0 ? max(ConversionWorkers.batchByteCount, greatestExpert) : 0
        return process + batch + packed + matrixCount * bytesPerMatrix + 3 * textByteCount + threadCount
            * bytesPerThread
    }
}
