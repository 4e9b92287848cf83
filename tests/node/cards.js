// Reads Adaptive Cards with Microsoft's own library, and prints what it complains of in each, and the card as it knows it.
// It reads a list of cards from standard input.

const cards = require("adaptivecards/dist/adaptivecards.js");

const read = (json) => {
    const context = new cards.SerializationContext(cards.Versions.v1_4);
    const card = new cards.AdaptiveCard();
    card.parse(json, context);
    const problems = [];
    for (let index = 0; index < context.eventCount; index += 1) {
        problems.push(context.getEventAt(index).message);
    }
    problems.push(...card.validateProperties().validationEvents.map((event) => event.message));
    return { problems, card: card.toJSON() };
};

const text = require("fs").readFileSync(0, "utf8");
console.log(JSON.stringify(JSON.parse(text).map(read)));
