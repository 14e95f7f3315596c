import Compute
package import Container

/// How the keys and values of past tokens are kept.
package enum CacheFormat: String, Sendable, CaseIterable {
    case f32
    case bf16

    package var elementByteCount: Int { self == .f32 ? 4 : 2 }

    var blockFormat: BlockFormat { self == .f32 ? .f32 : .bf16 }

    /// bf16, except for a container in f32, whose results are there to be compared.
    package static func `default`(for container: ContainerReader) -> CacheFormat {
        container.metadata.recipe.type == "f32" ? .f32 : .bf16
    }
}
