package import Compute
import Container
import ExpertPaging
import Synchronization

/// Everything that every token needs, read into anonymous memory of our own: the embedding, norms, attention, routers,
/// shared experts, dense layers and the output head.
@safe package final class ResidentTensors {
    @safe package struct Attention {
        package let norm: UnsafePointer<Float>
        let kind: AttentionKind
        package let output: Matrix
        let outputBias: UnsafePointer<Float>?

        /// nil for what is projected otherwise than an encoder-decoder's.
        package var relative: Projections? {
            if case .relative(let projections) = kind { projections } else { nil }
        }
    }

    enum AttentionKind {
        case latent(LatentAttention)
        case grouped(GroupedAttention)
        case relative(Projections)
    }

    /// [heads · headSize, hidden] each.
    package struct Projections {
        package let query: Matrix
        package let key: Matrix
        package let value: Matrix
    }

    /// A decoder's attention to what the encoder made.
    @safe package struct CrossAttention {
        package let norm: UnsafePointer<Float>
        package let projections: Projections
        package let output: Matrix
    }

    /// What an encoder-decoder has once.
    @safe package struct Encoder {
        package let norm: UnsafePointer<Float>
        /// [buckets, heads]
        package let positionBias: UnsafePointer<Float>
        /// The decoder's.
        package let decoderPositionBias: UnsafePointer<Float>
        /// The decoder's where there is no other.
        package let embedding: Matrix
    }

    @safe struct LatentAttention {
        let shape: ModelConfiguration.LatentAttention
        let query: Query
        let keyValueDown: Matrix
        let keyValueLatentNorm: UnsafePointer<Float>
        let keyValueUp: Matrix
    }

    @safe struct GroupedAttention {
        let shape: ModelConfiguration.GroupedAttention
        let query: Matrix
        let key: Matrix
        let value: Matrix
        let queryBias: UnsafePointer<Float>?
        let keyBias: UnsafePointer<Float>?
        let valueBias: UnsafePointer<Float>?
        let queryNorm: UnsafePointer<Float>?
        let keyNorm: UnsafePointer<Float>?
        let sinks: UnsafePointer<Float>?
        /// Positions that a token sees; nil: all.
        let window: Int?
    }

    @safe enum Query {
        case direct(Matrix)
        case latent(down: Matrix, norm: UnsafePointer<Float>, up: Matrix)
    }

    enum FeedForward {
        case dense(FeedForwardMatrices)
        case sparse(SparseFeedForward)
    }

    @safe package struct Layer {
        package let attention: Attention
        let feedForwardNorm: UnsafePointer<Float>
        let feedForward: FeedForward
        /// nil but in an encoder-decoder's decoder.
        package let cross: CrossAttention?
    }

    package let embedding: Matrix
    package let outputNorm: UnsafePointer<Float>
    package let outputHead: Matrix
    package let layers: [Layer]
    package let encoder: Encoder?

    /// All of them.
    let memory: AlignedMemory
    /// Tensors that an earlier run left in memory and that were what the container says.
    let adoptedCount: Int

    static func byteCount(of container: ContainerReader) -> Int {
        container.tensors.values.reduce(0) { $0 + MatrixShape.padded($1.byteCount) }
    }

    /// Reads and checks every resident tensor, on all of the pool's threads and in the file's order: while one waits for
    /// storage, another compares a checksum.
    ///
    /// - Parameter kept: has the place for them in it, of exactly their size. What is complete there already is compared
    ///   with its checksum in place of being read.
    init(
        container: ContainerReader, configuration: ModelConfiguration, pool: ThreadPool, kept: KeptWeights? = nil
    ) throws(ModelError) {
        let byteCount = Self.byteCount(of: container)
        do {
            memory = try kept?.dense ?? AlignedMemory(byteCount: byteCount, wantsHugePages: true)
        } catch {
            throw ModelError(.outOfMemory, "the dense weights need \(byteCount) bytes", cause: error)
        }
        var places = Places(path: container.path, memory: memory)
        var end = 0
        let records = container.tensors.values.sorted { $0.offset < $1.offset }
        for record in records {
            places.tensors[record.key] = (record, end)
            end += MatrixShape.padded(record.byteCount)
        }
        var missing = records
        if let kept, kept.isDenseComplete {
            missing = places.damaged(records, on: pool)
        }
        kept?.isDenseComplete = false
        try Self.read(missing, of: container, to: places, on: pool)
        if let kept {
            kept.isDenseComplete = true
            let piece = 64 << 20
            let (memory, count) = (memory, (byteCount + piece - 1) / piece)
            if !missing.isEmpty { pool.forEach(count) { memory.makeHuge(at: $0 * piece, byteCount: piece) } }
        }
        adoptedCount = records.count - missing.count

        embedding = try places.matrix(.tokenEmbedding, nil)
        unsafe outputNorm = try places.vector(.outputNorm, nil)
        outputHead = try places.matrix(.outputHead, nil)
        var layers: [Layer] = []
        for index in 0..<configuration.layerCount {
            layers.append(try places.layer(index, configuration))
        }
        self.layers = layers
        encoder = try configuration.encoder.map { shape throws(ModelError) in try places.encoder(shape) }
    }

    private static func read(
        _ records: [TensorRecord], of container: ContainerReader, to places: Places, on pool: ThreadPool
    ) throws(ModelError) {
        let failure = Mutex<ModelError?>(nil)
        pool.forEach(records.count) { index in
            guard failure.withLock({ $0 == nil }), let place = places.tensors[records[index].key]?.offset else {
                return
            }
            do throws(ContainerError) {
                try unsafe container.readTensor(records[index], into: places.memory.base + place)
            } catch {
                failure.withLock {
                    $0 = ModelError(.unreadableTensor, "\(records[index].key) could not be read", cause: error)
                }
            }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
    }

    /// Where each tensor was put.
    struct Places {
        let path: String
        let memory: AlignedMemory
        var tensors: [TensorKey: (record: TensorRecord, offset: Int)] = [:]

        func layer(_ index: Int, _ configuration: ModelConfiguration) throws(ModelError) -> Layer {
            let kind: AttentionKind =
                switch configuration.attention {
                case .latent(let shape): try .latent(latent(index, shape))
                case .grouped(let shape): try .grouped(grouped(index, shape))
                case .relative: try .relative(projections(.query, .key, .value, index))
                }
            var outputBias: UnsafePointer<Float>?
            if case .grouped(let shape) = configuration.attention, shape.hasOutputBias == true {
                unsafe outputBias = try vector(.attentionOutputBias, index)
            }
            let attention = try unsafe Attention(
                norm: vector(.attentionNorm, index), kind: kind, output: matrix(.attentionOutput, index),
                outputBias: outputBias)
            return try unsafe Layer(
                attention: attention, feedForwardNorm: vector(.feedForwardNorm, index),
                feedForward: feedForward(index, configuration), cross: cross(index, configuration))
        }

        func encoder(_ shape: ModelConfiguration.Encoder) throws(ModelError) -> Encoder {
            try unsafe Encoder(
                norm: vector(.encoderNorm, nil), positionBias: vector(.encoderPositionBias, nil),
                decoderPositionBias: vector(.positionBias, nil),
                embedding: matrix(shape.hasOwnEmbedding == true ? .encoderEmbedding : .tokenEmbedding, nil))
        }

        private func cross(_ index: Int, _ configuration: ModelConfiguration) throws(ModelError) -> CrossAttention? {
            guard configuration.encoder != nil, !configuration.isEncoding(index) else { return nil }
            return try unsafe CrossAttention(
                norm: vector(.crossNorm, index), projections: projections(.crossQuery, .crossKey, .crossValue, index),
                output: matrix(.crossOutput, index))
        }

        private func projections(
            _ query: TensorRole, _ key: TensorRole, _ value: TensorRole, _ layer: Int
        ) throws(ModelError) -> Projections {
            try Projections(query: matrix(query, layer), key: matrix(key, layer), value: matrix(value, layer))
        }

        private func latent(
            _ index: Int, _ shape: ModelConfiguration.LatentAttention
        ) throws(ModelError) -> LatentAttention {
            let query: Query =
                if shape.queryLatentRank == nil {
                    try .direct(matrix(.query, index))
                } else {
                    try unsafe .latent(
                        down: matrix(.queryDown, index), norm: vector(.queryLatentNorm, index),
                        up: matrix(.queryUp, index))
                }
            return try unsafe LatentAttention(
                shape: shape, query: query, keyValueDown: matrix(.keyValueDown, index),
                keyValueLatentNorm: vector(.keyValueLatentNorm, index), keyValueUp: matrix(.keyValueUp, index))
        }

        private func grouped(
            _ index: Int, _ shape: ModelConfiguration.GroupedAttention
        ) throws(ModelError) -> GroupedAttention {
            func bias(_ role: TensorRole) throws(ModelError) -> UnsafePointer<Float>? {
                shape.hasBias ? try unsafe vector(role, index) : nil
            }
            func norm(_ role: TensorRole) throws(ModelError) -> UnsafePointer<Float>? {
                shape.headNorm == .none ? nil : try unsafe vector(role, index)
            }
            return try unsafe GroupedAttention(
                shape: shape, query: matrix(.query, index), key: matrix(.key, index), value: matrix(.value, index),
                queryBias: bias(.queryBias), keyBias: bias(.keyBias), valueBias: bias(.valueBias),
                queryNorm: norm(.queryNorm), keyNorm: norm(.keyNorm),
                sinks: shape.hasSinks == true ? vector(.sinks, index) : nil,
                window: shape.window.flatMap { $0.layers[index] ? $0.length : nil })
        }

        private func feedForward(_ index: Int, _ configuration: ModelConfiguration) throws(ModelError) -> FeedForward {
            let gating = configuration.clamp.map { unsafe ClampedGating(slope: $0.slope, limit: $0.limit) }
            guard configuration.sparseLayers[index], let experts = configuration.experts else {
                let gate: TensorRole? = configuration.activation.isGated ? .denseGate : nil
                return try .dense(feedForward(gate: gate, up: .denseUp, down: .denseDown, index, gating))
            }
            let router = experts.router
            let choice = try unsafe Router(
                experts: experts, bias: router.hasSelectionBias ? vector(.routerBias, index) : nil,
                logitBias: router.hasLogitBias == true ? vector(.routerLogitBias, index) : nil)
            let shared =
                experts.sharedIntermediateSize == 0
                ? nil : try feedForward(gate: .sharedGate, up: .sharedUp, down: .sharedDown, index, gating)
            var biases: ExpertBiases?
            if experts.hasBiases == true {
                biases = try unsafe ExpertBiases(
                    gate: vector(.expertGateBias, index), up: vector(.expertUpBias, index),
                    down: vector(.expertDownBias, index))
            }
            return try .sparse(
                SparseFeedForward(
                    router: matrix(.router, index), choice: choice, shared: shared, gating: gating, biases: biases,
                    intermediateSize: experts.intermediateSize))
        }

        private func feedForward(
            gate: TensorRole?, up: TensorRole, down: TensorRole, _ layer: Int, _ gating: ClampedGating?
        ) throws(ModelError) -> FeedForwardMatrices {
            try FeedForwardMatrices(
                gate: gate.map { role throws(ModelError) in try matrix(role, layer) }, up: matrix(up, layer),
                down: matrix(down, layer), gating: gating)
        }

        func matrix(_ role: TensorRole, _ layer: Int?) throws(ModelError) -> Matrix {
            let (record, place) = try unsafe tensor(TensorKey(role, layer: layer))
            return unsafe Matrix(base: place, shape: record.shape, table: record.table)
        }

        func vector(_ role: TensorRole, _ layer: Int?) throws(ModelError) -> UnsafePointer<Float> {
            let (record, place) = try unsafe tensor(TensorKey(role, layer: layer))
            guard record.shape.format == .f32 else {
                throw ModelError(
                    .unsupported, "\(record.key) of \(path) is \(record.shape.format), and f32 was expected")
            }
            return unsafe place.assumingMemoryBound(to: Float.self)
        }

        private func tensor(_ key: TensorKey) throws(ModelError) -> (record: TensorRecord, place: UnsafeRawPointer) {
            guard let (record, offset) = tensors[key] else {
                throw ModelError(.unsupported, "\(path) has no \(key)")
            }
            return unsafe (record, UnsafeRawPointer(memory.base + offset))
        }
    }
}
