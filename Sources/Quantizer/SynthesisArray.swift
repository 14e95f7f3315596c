import Compute
import Container

/// One array that is made of random weights: a resident tensor or a routed expert's blob.
struct SynthesisArray {
    enum Content {
        case tensor(TensorRequirement, MatrixShape)
        /// The bytes of a second plane, if there is one, follow the blob's.
        case expert(ExpertKey, ExpertLayout, RefinementLayout?)
    }

    /// One matrix of the array.
    struct Part {
        var content: PartContent
        var offset: Int
        /// Bytes from one block to the next.
        var stride: Int
        var blockCount: Int
        var blockByteCount: Int
    }

    enum PartContent {
        case random(RandomWeights)
        /// A second plane of the matrix.
        case refinements(RandomWeights)
        /// A vector with one value throughout.
        case constant(Float, count: Int)
    }

    let content: Content
    let parts: [Part]
    let byteCount: Int

    var isExpert: Bool {
        if case .expert = content { true } else { false }
    }

    /// Every array of the model, resident tensors first.
    static func all(of plan: FormatPlan, seed: Int) -> [SynthesisArray] {
        // Far apart for neighbouring seeds and arrays alike.
        var next = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15
        func matrixSeed() -> UInt64 {
            next &+= 0xA076_1D64_78BD_642F
            return next
        }
        let configuration = plan.configuration
        var arrays = configuration.residentTensors.map { tensor in
            SynthesisArray(tensor, plan.shape(of: tensor), seed: matrixSeed())
        }
        for key in plan.expertKeys {
            guard let layout = plan.layout(of: key) else { continue }
            let seeds = (matrixSeed(), matrixSeed(), matrixSeed())
            arrays.append(SynthesisArray(key, layout, plan.refinement(of: key), seeds: seeds))
        }
        return arrays
    }

    private init(_ tensor: TensorRequirement, _ shape: MatrixShape, seed: UInt64) {
        content = .tensor(tensor, shape)
        byteCount = shape.byteCount
        guard !tensor.isVector else {
            // Norms and biases leave the values as they are; a router's bias prefers no expert.
            let value: Float = tensor.key.role.isBias ? 0 : 1
            parts = [
                Part(
                    content: .constant(value, count: shape.columns), offset: 0, stride: byteCount, blockCount: 1,
                    blockByteCount: byteCount)
            ]
            return
        }
        // The embedding isn't multiplied: its rows are the first values themselves.
        let deviation: Float = tensor.key.role.isEmbedding ? 1 : Self.deviation(shape)
        let weights = RandomWeights(shape, deviation: deviation, seed: seed)
        parts = [Part(weights, offset: 0, stride: shape.strideByteCount)]
    }

    private init(
        _ key: ExpertKey, _ layout: ExpertLayout, _ refinement: RefinementLayout?, seeds: (UInt64, UInt64, UInt64)
    ) {
        var layout = layout
        if refinement?.refinesGateUp == true { layout.gateUpTable = .nonLinear }
        if refinement?.refinesDown == true { layout.downTable = .nonLinear }
        content = .expert(key, layout, refinement)
        let plane = MatrixShape.padded(layout.byteCount)
        byteCount = refinement.map { plane + $0.byteCount } ?? layout.byteCount
        let (gateUp, downShape) = (layout.gateShape, layout.downShape)
        let width = Self.deviation(gateUp)
        let gate = RandomWeights(gateUp, table: layout.gateUpTable, deviation: width, seed: seeds.0)
        let up = RandomWeights(gateUp, table: layout.gateUpTable, deviation: width, seed: seeds.1)
        let down = RandomWeights(
            downShape, table: layout.downTable, deviation: Self.deviation(downShape), seed: seeds.2)
        var parts = layout.isGated ? [Part(gate, offset: 0, stride: layout.gateUpStride)] : []
        parts.append(Part(up, offset: layout.upOffset, stride: layout.gateUpStride))
        parts.append(Part(down, offset: layout.downOffset, stride: downShape.strideByteCount))
        if let refinement, refinement.refinesGateUp {
            if layout.isGated { parts.append(Part(refining: gate, offset: plane, stride: refinement.gateUpStride)) }
            parts.append(Part(refining: up, offset: plane + refinement.upOffset, stride: refinement.gateUpStride))
        }
        if let refinement, refinement.refinesDown {
            parts.append(Part(refining: down, offset: plane + refinement.downOffset, stride: refinement.downStride))
        }
        self.parts = parts
    }

    /// Where each plane of an expert stands among the bytes.
    var planes: [Range<Int>] {
        guard case .expert(_, let layout, let refinement) = content else { return [] }
        return [0..<layout.byteCount] + (refinement.map { [byteCount - $0.byteCount..<byteCount] } ?? [])
    }

    private static func deviation(_ shape: MatrixShape) -> Float { 1 / Float(shape.columns).squareRoot() }

    /// Writes some blocks of one matrix; `base` is the array's first byte.
    func fill(part: Int, blocks: Range<Int>, at base: UnsafeMutableRawPointer) {
        let part = parts[part]
        switch part.content {
        case .random(let weights):
            for block in blocks { unsafe weights.fill(block: block, at: base + part.offset + block * part.stride) }
        case .refinements(let weights):
            for block in blocks {
                unsafe weights.fillRefinements(block: block, at: base + part.offset + block * part.stride)
            }
        case .constant(let value, let count):
            unsafe base.initializeMemory(as: Float.self, repeating: value, count: count)
        }
    }
}

extension SynthesisArray.Part {
    fileprivate init(_ weights: RandomWeights, offset: Int, stride: Int) {
        self.init(
            content: .random(weights), offset: offset, stride: stride, blockCount: weights.blockCount,
            blockByteCount: weights.shape.strideByteCount)
    }

    fileprivate init(refining weights: RandomWeights, offset: Int, stride: Int) {
        self.init(
            content: .refinements(weights), offset: offset, stride: stride, blockCount: weights.blockCount,
            blockByteCount: weights.shape.refinementStrideByteCount)
    }
}

/// Arrays that are in memory together.
struct SynthesisBatch {
    struct Place {
        var array: SynthesisArray
        /// In the buffer.
        var offset: Int
    }

    /// Neighbouring blocks of one matrix.
    struct Task {
        /// Place in the batch.
        var array: Int
        var part: Int
        var blocks: Range<Int>
    }

    private(set) var arrays: [Place] = []
    private(set) var byteCount = 0

    static func batches(of arrays: [SynthesisArray], byteCount limit: Int) -> [SynthesisBatch] {
        var batches: [SynthesisBatch] = []
        var batch = SynthesisBatch()
        for array in arrays {
            if !batch.arrays.isEmpty, batch.byteCount + array.byteCount > limit {
                batches.append(batch)
                batch = SynthesisBatch()
            }
            batch.arrays.append(Place(array: array, offset: batch.byteCount))
            batch.byteCount += MatrixShape.padded(array.byteCount)
        }
        return batch.arrays.isEmpty ? batches : batches + [batch]
    }

    /// - Parameter limit: bytes of a task that has more than one block.
    func tasks(byteCount limit: Int) -> [Task] {
        var tasks: [Task] = []
        for (index, place) in arrays.enumerated() {
            for (number, part) in place.array.parts.enumerated() {
                let step = max(1, limit / max(1, part.blockByteCount))
                for start in stride(from: 0, to: part.blockCount, by: step) {
                    let blocks = start..<min(start + step, part.blockCount)
                    tasks.append(Task(array: index, part: number, blocks: blocks))
                }
            }
        }
        return tasks
    }
}
