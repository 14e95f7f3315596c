internal import Compute

/// Which planes of the experts are used. Experts without a second plane are the same either way.
package enum ExpertPlanes: Sendable, Equatable {
    /// The blob as it stands in the file, at 4 bits.
    case coarse
    /// Blob and refinement, which together are a blob at 8 bits.
    case both
    /// Both of these experts, and the coarse one of all others.
    case heat(Set<ExpertKey>)

    /// Those that treat all experts alike.
    package static let alike: [ExpertPlanes] = [.coarse, .both]

    /// The same for the same planes, and no other's: what an answer's bits may depend on.
    package var identity: String {
        switch self {
        case .coarse: "coarse"
        case .both: "both"
        case .heat(let hot): "heat " + hexadecimal(Self.checksum(of: hot))
        }
    }

    package func refines(_ key: ExpertKey) -> Bool {
        switch self {
        case .coarse: false
        case .both: true
        case .heat(let hot): hot.contains(key)
        }
    }

    private static func checksum(of keys: Set<ExpertKey>) -> UInt64 {
        let numbers = keys.map { UInt64($0.layer) << 32 | UInt64($0.expert) }.sorted()
        return unsafe numbers.withUnsafeBytes { unsafe XXH3.hash($0) }
    }
}

/// What is read for one expert, in one piece, and what becomes of it in memory.
package struct ExpertSource: Sendable, Equatable {
    package let blob: ExpertRecord
    /// nil when the expert has none, or is used without.
    package let refinement: RefinementRecord?

    package init(_ blob: ExpertRecord, refinement: RefinementRecord? = nil) {
        self.blob = blob
        self.refinement = refinement
    }

    package var key: ExpertKey { blob.key }
    package var offset: UInt64 { blob.offset }

    /// Bytes in the file from `offset` on, the padding between two planes included.
    package var storedByteCount: Int {
        refinement.map { Int($0.offset - blob.offset) + $0.storedByteCount } ?? blob.storedByteCount
    }

    /// Where the matrices stand in memory.
    package var layout: ExpertLayout { refinement.map { blob.layout.refined(by: $0.layout) } ?? blob.layout }

    /// Bytes in memory.
    package var byteCount: Int { layout.byteCount }

    /// Whether what is read is what is used.
    package var isStored: Bool { refinement == nil && blob.codec == .stored }

    /// Bytes that reading needs beside the destination: what stands in the file, and the planes of a pair that have to be
    /// unpacked before they are put together.
    package var scratchByteCount: Int {
        guard !isStored else { return 0 }
        return unpackedRefinementOffset + (refinement.map { $0.codec == .stored ? 0 : $0.byteCount } ?? 0)
    }

    var unpackedBlobOffset: Int { MatrixShape.padded(storedByteCount) }
    var unpackedRefinementOffset: Int {
        unpackedBlobOffset
            + (refinement != nil && blob.codec != .stored ? MatrixShape.padded(blob.byteCount) : 0)
    }
}

extension ContainerReader {
    /// One expert's source; nil where the model has no such expert.
    package func source(of key: ExpertKey, planes: ExpertPlanes) -> ExpertSource? {
        experts[key].map { ExpertSource($0, refinement: planes.refines(key) ? refinements[key] : nil) }
    }

    /// Every expert's source, in no order.
    package func sources(planes: ExpertPlanes) -> [ExpertSource] {
        experts.values.map { ExpertSource($0, refinement: planes.refines($0.key) ? refinements[$0.key] : nil) }
    }
}
