package import Container

extension FormatPlan {
    /// As the container names it. The rules of a pure plan say no more than its type.
    package func recipe(tool: String, packing: Packing, encoding: EncodingOptions = EncodingOptions()) -> Recipe {
        var recipe = Recipe(
            tool: tool, type: type.rawValue, isPure: isPure, packing: packing, name: recipeName,
            rules: rules.map(\.description), targetBits: targetBits)
        recipe.method = encoding.method.rawValue
        recipe.importance = encoding.importance?.source
        return recipe
    }

    /// The plan that a container was made by.
    ///
    /// - Throws: `badRule` if the recipe doesn't say, or doesn't fit the model.
    package init(
        _ configuration: ModelConfiguration, recipe: Recipe, sourceNames: SourceNames = SourceNames()
    ) throws(QuantizerError) {
        guard let texts = recipe.rules else {
            throw QuantizerError(
                code: .badRule, message: "the container was made by \(recipe.tool), which recorded no rules",
                advice: "Convert the checkpoint again")
        }
        var rules: [FormatRule] = []
        for text in texts { rules.append(try FormatRule(text, place: "the container's recipe")) }
        try self.init(
            configuration, own: [], recipe: rules, name: recipe.name ?? "rules", targetBits: recipe.targetBits,
            sourceNames: sourceNames)
    }
}
