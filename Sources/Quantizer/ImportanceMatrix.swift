package import Container

/// How much an error in each column of a matrix matters: the second moments of the matrix's inputs, recorded while a
/// model read a text.
///
/// Resident matrices have one row of moments, the routed experts of a layer one row each. Gate and up share their
/// input, `down` has its own. Values that come from a file are checked to be finite and not negative.
package struct ImportanceMatrix: Sendable, Equatable {
    /// Which of an expert's two inputs.
    package enum ExpertInput: String, Sendable, CaseIterable {
        /// [hidden]
        case gateUp = "gate_up"
        /// [intermediate]
        case down
    }

    /// Whose inputs.
    package enum Key: Hashable, Sendable, CustomStringConvertible {
        case tensor(TensorKey)
        /// All routed experts of a layer.
        case experts(layer: Int, ExpertInput)

        package var description: String {
            switch self {
            case .tensor(let key): key.description
            case .experts(let layer, let input): "layers.\(layer).experts.\(input.rawValue)"
            }
        }
    }

    package private(set) var moments: [Key: Moments]
    /// What it was made from.
    package private(set) var origin: Origin
    /// How the inputs' columns go together; nil where nobody recorded it.
    package let hessians: HessianStore?
    /// XXH3-64 of keys, counts, sums, origin and second-order matrices: the same for the same content in any file.
    package let fingerprint: UInt64

    package init(moments: [Key: Moments], origin: Origin, hessians: HessianStore? = nil) {
        self.moments = moments
        self.origin = origin
        self.hessians = hessians
        fingerprint = Self.fingerprint(moments, origin, hessians)
    }

    /// The text and how it was read.
    package struct Origin: Sendable, Equatable {
        /// XXH3-64 of the texts' bytes in 16 hexadecimal digits; empty when nobody said.
        package var textChecksums: [String]
        /// The texts' names, for people.
        package var textNames: [String]
        /// Tokens of a chunk; 0 when nobody said.
        package var contextLength: Int
        package var tokenCount: Int

        package init(
            textChecksums: [String] = [], textNames: [String] = [], contextLength: Int = 0, tokenCount: Int = 0
        ) {
            self.textChecksums = textChecksums
            self.textNames = textNames
            self.contextLength = contextLength
            self.tokenCount = tokenCount
        }
    }
}

// MARK: Weights

extension ImportanceMatrix {
    /// Tokens that the layer's mean counts for beside an expert's own: an expert that saw fewer says little of its own.
    package static let shrinkage = 64.0
    /// No column's weight is less than this share of the mean: what was never seen isn't free to become anything.
    static let leastWeight: Float = 1e-4

    /// A weight for each column of a resident matrix, 1 on average; nil when there are no moments of it.
    package func weights(for tensor: TensorKey) -> [Float]? {
        guard let moments = moments[.tensor(tensor)], moments.counts[0] > 0 else { return nil }
        return Self.normalised(moments.row(0).map(Double.init))
    }

    /// A weight for each column of one expert's matrix, 1 on average; nil when there are no moments of its layer.
    ///
    /// w = (n · wₑ + λ · w̄) / (n + λ) of the expert's own weights and its layer's mean, each 1 on average, so an expert
    /// that never fired gets the layer's.
    package func weights(for expert: ExpertKey, _ input: ExpertInput) -> [Float]? {
        guard let moments = moments[.experts(layer: expert.layer, input)],
            moments.counts.indices.contains(expert.expert), let mean = moments.mean
        else { return nil }
        let count = Double(moments.counts[expert.expert])
        let own = Self.normalised(moments.row(expert.expert).map(Double.init))
        let shared = Self.normalised(mean)
        return zip(own, shared).map { own, shared in
            Float((count * Double(own) + Self.shrinkage * Double(shared)) / (count + Self.shrinkage))
        }
    }

    /// Tokens that a resident matrix saw.
    package func count(for tensor: TensorKey) -> Int { moments[.tensor(tensor)]?.counts[0] ?? 0 }

    /// Tokens that an expert saw.
    package func count(for expert: ExpertKey, _ input: ExpertInput = .gateUp) -> Int {
        guard let counts = moments[.experts(layer: expert.layer, input)]?.counts,
            counts.indices.contains(expert.expert)
        else { return 0 }
        return counts[expert.expert]
    }

    /// Experts of the recorded layers that never fired, in order.
    package var silentExperts: [ExpertKey] {
        let layers = moments.keys.compactMap { key in
            if case .experts(let layer, .gateUp) = key { layer } else { nil }
        }
        return layers.sorted().flatMap { layer in
            let counts = moments[.experts(layer: layer, .gateUp)]?.counts ?? []
            return counts.indices.filter { counts[$0] == 0 }.map { ExpertKey(layer: layer, expert: $0) }
        }
    }

    private static func normalised(_ values: [Double]) -> [Float] {
        let mean = values.reduce(0, +) / Double(max(values.count, 1))
        guard mean > 0, mean.isFinite else { return Array(repeating: 1, count: values.count) }
        return values.map { max(Float($0 / mean), leastWeight) }
    }
}

extension ImportanceMatrix {
    /// Sums of squares, a row for each matrix that has inputs of its own.
    package struct Moments: Sendable, Equatable {
        package let columnCount: Int
        /// Σ x², [rows, columns].
        package let sums: [Float]
        /// Tokens of each row.
        package let counts: [Int]
        /// Σ over rows of Σ x², divided by all tokens: [columns]; nil when no row saw any.
        let mean: [Double]?

        /// - Precondition: as many sums as rows and columns make.
        package init(columnCount: Int, sums: [Float], counts: [Int]) {
            precondition(columnCount > 0 && !counts.isEmpty && sums.count == columnCount * counts.count)
            self.columnCount = columnCount
            self.sums = sums
            self.counts = counts
            let total = counts.reduce(0, +)
            guard total > 0 else {
                mean = nil
                return
            }
            var mean = [Double](repeating: 0, count: columnCount)
            for row in counts.indices {
                for column in 0..<columnCount { mean[column] += Double(sums[row * columnCount + column]) }
            }
            self.mean = mean.map { $0 / Double(total) }
        }

        package func row(_ row: Int) -> ArraySlice<Float> { sums[row * columnCount..<(row + 1) * columnCount] }
    }

    private static func fingerprint(
        _ moments: [Key: Moments], _ origin: Origin, _ hessians: HessianStore?
    ) -> UInt64 {
        var bytes: [UInt8] = []
        func append(_ text: String) { bytes += Array(text.utf8) + [0] }
        func append(_ number: UInt64) {
            for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> shift)) }
        }
        for text in origin.textChecksums { append(text) }
        for (key, moments) in moments.sorted(by: { $0.key.description < $1.key.description }) {
            append(key.description)
            append(UInt64(moments.columnCount))
            for count in moments.counts { append(UInt64(bitPattern: Int64(count))) }
            append(unsafe moments.sums.withUnsafeBytes { unsafe XXH3.hash($0) })
        }
        for (name, checksum) in hessians?.checksums ?? [] {
            append(name)
            append(checksum)
        }
        return XXH3.hash(bytes)
    }
}
