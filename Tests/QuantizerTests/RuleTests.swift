import Checkpoint
import Compute
import Container
import Quantizer
import TestSupport
import Testing

@Suite("Rules")
struct RuleTests {
    private static func plan(_ rules: [String], type: ConversionType = .int4) throws -> FormatPlan {
        let checkpoint = try Checkpoint(directory: Fixtures.demo)
        return try FormatPlan(
            checkpoint.configuration, own: try rules.map { try FormatRule($0, place: "--rule") },
            recipe: BuiltInRecipe.pure.rules(for: checkpoint.configuration, type: type), name: "test",
            sourceNames: SourceNames(checkpoint))
    }

    @Test func theFirstThatMatchesWins() throws {
        let plan = try Self.plan(["layers.2.shared.up=bf16", "layers.{1-2}.shared.*=int8", "layers.*.shared.down=f32"])
        #expect(plan.type(of: TensorKey(.sharedUp, layer: 2)) == .bf16)
        #expect(plan.type(of: TensorKey(.sharedUp, layer: 1)) == .int8)
        #expect(plan.type(of: TensorKey(.sharedDown, layer: 1)) == .int8)
        #expect(plan.type(of: TensorKey(.sharedDown, layer: 3)) == .f32)
        #expect(plan.type(of: TensorKey(.sharedUp, layer: 3)) == .int4)
    }

    @Test(arguments: ["layers.3.experts.7.{gate,up}=int8", "model.layers.3.mlp.experts.7.{gate,up}_proj.weight=int8"])
    func oneExpertByEitherName(rule: String) throws {
        let plan = try Self.plan([rule])
        for key in plan.expertKeys {
            let isIt = key == ExpertKey(layer: 3, expert: 7)
            #expect(plan.types(of: key) == .init(gateUp: isIt ? .int8 : .int4, down: .int4))
            #expect(plan.layout(of: key)?.gateUpFormat == (isIt ? .q8 : .q4))
        }
    }

    @Test(arguments: [
        (["layers.9.*=int8"], "matches no tensor"), (["*.experts.*=int8", "*.experts.*.down=bf16"], "earlier rules"),
        (["*.norm=int8"], "norms"), (["layers.1.router=int8"], "norms"), (["*=int5"], "no type 'int5'"),
        (["lm_head.weight"], "isn't a rule"), (["{=int8"], "isn't a pattern"),
        (["layers.*.experts.*.gate=int8"], "gate and up of one expert share one format"),
    ])
    func whatCantBeFollowedIsSaid(rules: [String], words: String) throws {
        let error = #expect(throws: QuantizerError.self) { try Self.plan(rules) }
        #expect(error?.code == .badRule)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
    }

    @Test func aFileHasOneALine() throws {
        let text = "# first layers\nlayers.0.*=int8 # dense\n\n  layers.1.shared.*=bf16\r\n"
        let rules = try FormatRule.rules(inFile: text, path: "rules.txt")
        #expect(rules.map(\.description) == ["layers.0.*=int8", "layers.1.shared.*=bf16"])
        let error = #expect(throws: QuantizerError.self) { try FormatRule.rules(inFile: "\n*=x", path: "rules.txt") }
        #expect(error?.description.contains("rules.txt, line 2") == true)
    }

    @Test func aRecipeMakesTheSamePlanAgain() throws {
        let configuration = try Checkpoint(directory: Fixtures.demo).configuration
        for recipe in BuiltInRecipe.allCases {
            let plan = try FormatPlan(
                configuration, own: [], recipe: recipe.rules(for: configuration, type: .int4), name: recipe.rawValue)
            let recorded = plan.recipe(tool: "test", packing: .auto)
            let again = try FormatPlan(configuration, recipe: recorded)
            #expect(recorded.name == recipe.rawValue && again.recipe(tool: "test", packing: .auto) == recorded)
            for tensor in configuration.residentTensors { #expect(again.shape(of: tensor) == plan.shape(of: tensor)) }
            for key in plan.expertKeys { #expect(again.layout(of: key) == plan.layout(of: key)) }
        }
        #expect(throws: QuantizerError.self) {
            try FormatPlan(configuration, recipe: Recipe(tool: "old", type: "int4", isPure: true, packing: .auto))
        }
    }

    /// A type that names a code table gets it, by every method that has it, and the file is made the same again.
    @Test(arguments: ["search", "rtn"]) func codeTablesCanBeChosen(method: String) throws {
        let directory = try TemporaryDirectory()
        let target = "\(directory.path)/model.moe"
        let rules = [
            "layers.1.experts.*.down=int4-linear", "layers.1.experts.*=int4-nonlinear", "output.head=int4-linear",
        ]
        let usable = method == "rtn" ? rules.filter { !$0.contains("nonlinear") } : rules
        let outcome = try Program.run(
            ["convert", Fixtures.demo, "-o", target, "--pure", "--method", method]
                + usable.flatMap { ["--rule", $0] })
        try #require(outcome.code == 0, "\(outcome.error)")
        let reader = try ContainerReader(path: target)
        for expert in reader.experts.values where expert.key.layer == 1 {
            #expect(expert.layout.downTable == .linear)
            #expect(expert.layout.gateUpTable == (method == "rtn" ? .linear : .nonLinear))
        }
        #expect(reader.tensors[TensorKey(.outputHead)]?.table == .linear)
        #expect(reader.metadata.recipe.rules?.starts(with: usable) == true)
        #expect(try Program.run(["verify", target, "--against", Fixtures.demo]).code == 0)
    }

    @Test func plainRoundingHasLinearCodesOnly() throws {
        let directory = try TemporaryDirectory()
        let outcome = try Program.run(
            ["convert", Fixtures.demo, "-o", "\(directory.path)/x.moe", "--method", "rtn", "--type", "int4-nonlinear"])
        #expect(outcome.code == 64 && outcome.error.contains("plain rounding"))
        let pure = try Program.run(
            ["convert", Fixtures.demo, "-o", "\(directory.path)/x.moe", "--type", "int4-nonlinear"])
        #expect(pure.code == 0, "\(pure.error)")
        let reader = try ContainerReader(path: "\(directory.path)/x.moe")
        #expect(reader.tensors.values.allSatisfy { $0.shape.format == .f32 || $0.table == .nonLinear })
        #expect(reader.experts.values.allSatisfy { $0.layout.gateUpTable == .nonLinear })
    }
}
