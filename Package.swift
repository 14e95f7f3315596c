// swift-tools-version: 6.2
import PackageDescription

let warnings: [SwiftSetting] =
    Context.environment["MOED_WARNINGS_AS_ERRORS"] == nil ? [] : [.treatAllWarnings(as: .error)]

let common: [SwiftSetting] =
    warnings + [
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("InternalImportsByDefault"),
    ]

/// The rooms that touch raw memory say `unsafe` at every such place.
let memorySafe: [SwiftSetting] = common + [.strictMemorySafety()]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let systemPackage: Target.Dependency = .product(name: "SystemPackage", package: "swift-system")
let subprocess: Target.Dependency = .product(name: "Subprocess", package: "swift-subprocess")

func nio(_ names: String...) -> [Target.Dependency] {
    names.map { .product(name: $0, package: "swift-nio") }
}

func room(_ name: String, _ dependencies: [Target.Dependency] = [], settings: [SwiftSetting] = common) -> Target {
    .target(name: name, dependencies: dependencies, exclude: roomDocuments[name] ?? [], swiftSettings: settings)
}

/// Prose that stands beside the code it describes.
let roomDocuments: [String: [String]] = [
    "Container": ["FORMAT.md"],
    "ExpertPaging": ["README.md"],
]

func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource] = []) -> Target {
    .testTarget(
        name: name, dependencies: dependencies + ["TestSupport"], resources: resources, swiftSettings: common)
}

func systemLibrary(_ name: String, pkgConfig: String, debian: String) -> Target {
    .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([debian])])
}

let package = Package(
    name: "moed",
    products: [
        .executable(name: "moed", targets: ["moed"]),
        .executable(name: "moectl", targets: ["moectl"]),
        .executable(name: "moe-quantize", targets: ["moe-quantize"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
    ],
    targets: [
        // System libraries and the arithmetic in C.
        systemLibrary("CLZ4", pkgConfig: "liblz4", debian: "liblz4-dev"),
        systemLibrary("CXXHash", pkgConfig: "libxxhash", debian: "libxxhash-dev"),
        systemLibrary("CPCRE2", pkgConfig: "libpcre2-8", debian: "libpcre2-dev"),
        systemLibrary("CSystemd", pkgConfig: "libsystemd", debian: "libsystemd-dev"),
        .target(name: "CKernels", exclude: ["README.md"], cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off"])]),

        // The numeric rooms, lowest first.
        room("Compute", ["CKernels"], settings: memorySafe),
        room("JSON", settings: memorySafe),
        room("Container", ["Compute", "JSON", "CLZ4", "CXXHash", systemPackage], settings: memorySafe),
        room("TokenText"),
        room("Checkpoint", ["Container", "Compute", "JSON", "TokenText", systemPackage], settings: memorySafe),
        room("Quantizer", ["Checkpoint", "Container", "Compute", "JSON"], settings: memorySafe),
        room("Tokenizer", ["JSON", "TokenText", "CPCRE2"], settings: memorySafe),
        room("ChatTemplate", ["JSON"]),
        room("Constraints", ["JSON"]),
        room("ToolCalls", ["Constraints", "JSON"]),
        room("ExpertPaging", ["Container", "Compute"], settings: memorySafe),
        room("Model", ["ExpertPaging", "Container", "Compute"], settings: memorySafe),
        room("EncoderDecoder", ["Model", "ExpertPaging", "Container", "Compute"], settings: memorySafe),
        room(
            "Evaluation",
            ["Model", "ExpertPaging", "Quantizer", "Checkpoint", "Tokenizer", "Container", "Compute"],
            settings: memorySafe),

        room("Benchmark", ["Model", "ExpertPaging", "Container", "Compute"], settings: memorySafe),

        // The serving rooms.
        room("Generation", ["Constraints", "Model", "ExpertPaging", "Tokenizer", "Container"]),
        room("API"),
        room(
            "Serving",
            [
                "API", "JSON", "Generation", "EncoderDecoder", "Model", "ExpertPaging", "ChatTemplate", "ToolCalls",
                "Constraints", "Tokenizer", "Container", "Compute", "CSystemd",
                hummingbird, hummingbirdCore, httpTypes, logging, lifecycle,
            ] + nio("NIOCore", "NIOPosix", "NIOHTTP1")),

        .executableTarget(
            name: "moed",
            dependencies: [
                "API", "Serving", "Generation", "Benchmark", "EncoderDecoder", "Model", "ExpertPaging", "Checkpoint",
                "Container", "Compute", "Tokenizer", "ChatTemplate", argumentParser, logging, lifecycle, signals,
            ] + nio("NIOPosix"), swiftSettings: common),
        .executableTarget(
            name: "moectl",
            dependencies: ["API", "JSON", argumentParser] + nio("NIOCore", "NIOPosix", "NIOHTTP1"),
            swiftSettings: common),
        .executableTarget(
            name: "moe-quantize",
            dependencies: [
                "Evaluation", "Model", "ExpertPaging", "Tokenizer", "Quantizer", "Checkpoint", "Container", "Compute",
                argumentParser,
            ], path: "quantize", swiftSettings: common),

        // Benchmarks: `make bench`.
        .executableTarget(
            name: "room-benchmarks", dependencies: ["Benchmark", "Model", "Container", "Compute", "Tokenizer"],
            path: "Benchmarks/Rooms", swiftSettings: common),
        .executableTarget(
            name: "kernel-benchmark", dependencies: ["Benchmark", "Compute"], path: "Benchmarks/Kernels",
            swiftSettings: memorySafe),

        // Tests.
        .target(name: "CAllocations", path: "Tests/CAllocations"),
        .executableTarget(
            name: "allocation-probe",
            dependencies: ["CAllocations", "Generation", "Model", "ExpertPaging", "Tokenizer", "Container"],
            path: "Tests/AllocationProbe", swiftSettings: common),
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: common),
        .target(
            name: "DemoSupport", dependencies: ["Quantizer", "Checkpoint", "Container", "TestSupport"],
            path: "Tests/DemoSupport", swiftSettings: common),
        .target(
            name: "ContainerFixtures", dependencies: ["Container", "Compute", "TestSupport"],
            path: "Tests/ContainerFixtures", swiftSettings: common),
        .target(
            name: "GGUFSupport", dependencies: ["Checkpoint", "Compute", "JSON", "TestSupport"],
            path: "Tests/GGUFSupport", swiftSettings: common),
        .target(
            name: "FuzzTargets",
            dependencies: [
                "JSON", "Quantizer", "Tokenizer", "Checkpoint", "Container", "ContainerFixtures", "GGUFSupport",
                "TestSupport", "TokenText",
            ], path: "Tests/FuzzTargets", swiftSettings: common),
        tests("JSONTests", ["JSON"]),
        tests("APITests", ["API"]),
        tests("MoectlTests", ["moectl", "API"]),
        tests("ContainerTests", ["Container", "Compute", "ContainerFixtures"]),
        tests("ComputeTests", ["Compute"]),
        tests("ExpertPagingTests", ["ExpertPaging", "Container", "Compute", "CSystemd"]),
        tests(
            "GenerationTests",
            ["Generation", "EncoderDecoder", "Model", "ExpertPaging", "Tokenizer", "Container", "DemoSupport"]),
        tests("TokenizerTests", ["Tokenizer", "Quantizer", "Checkpoint", "Container", "GGUFSupport"]),
        tests("ChatTemplateTests", ["ChatTemplate", "JSON"]),
        tests("ConstraintsTests", ["Constraints", "JSON"]),
        tests("ToolCallsTests", ["ToolCalls", "Constraints", "JSON"]),
        tests(
            "ServingTests",
            [
                "moed", "Serving", "API", "Model", "ExpertPaging", "Quantizer", "Checkpoint", "Container", "Compute",
                "DemoSupport", logging, lifecycle,
            ] + nio("NIOPosix")),
        tests(
            "ModelTests", ["Model", "ExpertPaging", "Quantizer", "Checkpoint", "Container", "Compute", "GGUFSupport"]),
        tests(
            "EncoderDecoderTests",
            [
                "EncoderDecoder", "Model", "ExpertPaging", "Quantizer", "Checkpoint", "Container", "Compute",
                "DemoSupport",
            ]),
        tests("CheckpointTests", ["Checkpoint", "Container", "Compute", "JSON", "Tokenizer", "GGUFSupport"]),
        tests(
            "EvaluationTests",
            ["moe-quantize", "Evaluation", "Model", "Quantizer", "Checkpoint", "Container", "Compute"]),
        tests("QuantizerTests", ["moe-quantize", "Quantizer", "Checkpoint", "Container", "Compute", "GGUFSupport"]),
        tests(
            "BenchmarkTests",
            [
                "allocation-probe", "Benchmark", "Model", "ExpertPaging", "Quantizer", "Checkpoint", "Container",
                "Compute",
                "DemoSupport",
            ]),
        tests("FuzzTests", ["FuzzTargets"]),
    ]
)

// What reads files of strangers, without the rooms and packages above it: `.ci/sanitize` builds only this.
if Context.environment["MOED_PARSER_ROOMS"] != nil {
    let rooms: Set = [
        "CLZ4", "CXXHash", "CPCRE2", "CKernels", "Compute", "JSON", "Container", "Checkpoint", "Quantizer", "TokenText",
        "Tokenizer", "TestSupport", "ContainerFixtures", "GGUFSupport", "FuzzTargets", "JSONTests", "ContainerTests",
        "CheckpointTests",
        "TokenizerTests", "FuzzTests",
    ]
    package.products = []
    package.targets.removeAll { !rooms.contains($0.name) }
}
