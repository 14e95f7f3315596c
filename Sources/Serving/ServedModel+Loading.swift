import API
import ChatTemplate
import Compute
import Container
import EncoderDecoder
import ExpertPaging
import Generation
import Glibc
package import Model
import Tokenizer

/// Why a container that can be read can't be served.
package struct UnservableModel: Error, Sendable, CustomStringConvertible {
    package let description: String
}

extension ServedModel {
    package struct Options: Sendable {
        package var plan = MemoryPlan.Options()
        package var threadCount: Int?
        package var queueLimit = 16
        /// Where what is learnt of the experts' use is kept; nil to keep nothing.
        package var stateDirectory: String?
        /// The lossy help of requests that say nothing of it.
        package var lossy = LossyRouting.off

        package init() {}
    }

    /// Opens, plans and loads a model. Takes as long as its dense weights take to be read.
    ///
    /// Throws the error of the room that refuses: ContainerError, TokenizerError, ModelError, ComputeError, or
    /// UnservableModel for a container without a tokenizer.
    ///
    /// - Parameter memory: where weights are found, and kept for the next run.
    package static func load(
        path: String, options: Options, memory: KeptMemory = .none
    ) throws -> ServedModel {
        let container = try ContainerReader(path: path)
        guard let tokenizerJSON = container.text.tokenizerJSON else {
            throw UnservableModel(
                description: "\(path): the container has no tokenizer, so its model can't be served; convert a "
                    + "checkpoint that has one (moed trace takes this one)")
        }
        let tokenizer = try Tokenizer(
            tokenizerJSON: tokenizerJSON, configJSON: container.text.tokenizerConfigJSON)
        let template = template(
            container.text.chatTemplate, tokenizerConfigJSON: container.text.tokenizerConfigJSON,
            tokenizer: tokenizer)
        let syntax = AnswerSyntax(template: container.text.chatTemplate)
        let kernels = try Kernels.selected()
        var notes: [String] = []
        let popularityPath = options.stateDirectory.map {
            PopularityFile.path(in: $0, identity: container.indexChecksum)
        }
        let learnt = learnt(container, in: options.stateDirectory, notes: &notes)
        var planning = options.plan
        planning.popularity = learnt
        let (plan, kept, probe) = try prepare(container, planning, memory, notes: &notes)
        let model = try LoadedModel(
            container: container, plan: plan, threadCount: options.threadCount ?? ThreadCount.available,
            kernels: kernels, kept: kept)
        let endTokens = Set(container.metadata.configuration.endTokens.map(Int32.init(clamping:)))
            .union(tokenizer.endToken.map { [$0] } ?? []).union(syntax.endTokens(tokenizer))
        let forecast = probe.map { plan.forecastLines($0, readBandwidth: model.measureReadBandwidth()) } ?? []
        let isEncoderDecoder = container.metadata.configuration.encoder != nil
        let engine = try Engine(
            model: isEncoderDecoder ? EncoderDecoderModel(model) : model, tokenizer: tokenizer,
            options: Engine.Options(queueLimit: options.queueLimit, endTokens: endTokens))

        if let learnt { engine.experts.warm(with: learnt) }

        let fingerprint = fingerprint(container, kernels: kernels, plan)
        return ServedModel(
            id: identifier(path: path), engine: engine, container: container, tokenizer: tokenizer, template: template,
            syntax: syntax,
            reasoningBeginToken: tokenizer.id(of: ChatTemplate.thinkMarker),
            reasoningEndToken: try tokenizer.encode(ChatTemplate.endThinkMarker, special: .parsed, addBegin: false)
                .last,
            defaults: container.metadata.generationDefaults, lossy: options.lossy,
            facts: facts(container, contextLength: engine.contextLength, fingerprint: fingerprint),
            memory: Status.Memory(plan, isBudgeted: options.plan.memory != nil), created: modificationTime(path),
            planLines: plan.lines + plan.demandLines + forecast + adoptionLines(model.adoption),
            warnings: plan.warnings + (isEncoderDecoder ? [] : template.problem) + options.lossy.warnings
                + notes,
            popularityPath: popularityPath, kept: kept)
    }

    private static func adoptionLines(_ adoption: LoadedModel.Adoption) -> [String] {
        guard adoption.tensorCount > 0 || adoption.experts != .init() else { return [] }
        let damaged =
            adoption.experts.damagedCount == 0
            ? "" : "; \(adoption.experts.damagedCount) weren't what was said of them, and are read again"
        return [
            "found in memory: \(adoption.tensorCount) dense tensors and \(adoption.experts.expertCount) experts\(damaged)"
        ]
    }

    /// Whatever may change an answer's bits stands in it: the model, the build, the kernels, the cache's format and the
    /// experts' planes.
    private static func fingerprint(_ container: ContainerReader, kernels: Kernels, _ plan: MemoryPlan) -> String {
        let parts =
            [hexadecimal(container.indexChecksum), Version.current, kernels.name, plan.cacheFormat.rawValue]
            + (plan.planes.map { [$0.identity] } ?? [])
        let hash = Array(parts.joined(separator: "/").utf8).withUnsafeBytes(XXH3.hash)
        return "moed-\(Version.current)-\(hexadecimal(hash).prefix(8))"
    }

    private static func facts(
        _ container: ContainerReader, contextLength: Int, fingerprint: String
    ) -> Status.Model {
        let configuration = container.metadata.configuration
        let dense = container.tensors.values.reduce(0) { $0 + $1.shape.rows * $1.shape.columns }
        let routed = container.experts.values.reduce(0) {
            $0 + ($1.layout.gateUpCount + 1) * $1.layout.hiddenSize * $1.layout.intermediateSize
        }
        let active = configuration.experts.map { routed / $0.routedExpertCount * $0.expertsPerToken } ?? 0
        return Status.Model(
            id: identifier(path: container.path), path: container.path, family: configuration.family,
            format: container.metadata.recipe.type, parameterCount: dense + routed,
            activeParameterCount: dense + active, fileByteCount: Int(clamping: container.fileByteCount),
            contextLength: contextLength, fingerprint: fingerprint)
    }

    private static func modificationTime(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mtim.tv_sec : 0
    }
}

extension Result<ChatTemplate, ChatTemplateError> {
    fileprivate var problem: [String] {
        if case .failure(let error) = self { ["conversations are refused: \(error)"] } else { [] }
    }
}

extension LossyRouting {
    fileprivate var warnings: [String] {
        guard !isOff else { return [] }
        return [
            "answers depend on what is in memory and are worse than the model's own: --prefer-resident is "
                + "\(preferResident) and --drop-cold \(dropCold) unless a request says otherwise"
        ]
    }
}

extension Status.Memory {
    fileprivate init(_ plan: MemoryPlan, isBudgeted: Bool) {
        self.init(
            budgetByteCount: isBudgeted ? plan.budget : nil, denseByteCount: plan.denseByteCount,
            cacheByteCount: plan.cacheByteCount, scratchByteCount: plan.scratchByteCount,
            arenaByteCount: plan.arenaByteCount, expertSlotCount: plan.slotCount, expertCount: plan.expertCount,
            expertPlanes: plan.planesInForce?.rawValue, refinedExpertCount: plan.heat?.refinedExpertCount,
            refinedUse: plan.heat?.recordedUse)
    }
}
