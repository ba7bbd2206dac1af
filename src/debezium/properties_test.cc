#include "debezium/properties.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace pgweir::debezium {
namespace {

Properties with(std::vector<std::pair<const std::string, std::string>> more) {
  Properties out = {{"topic.prefix", "shop"}};
  out.insert(more.begin(), more.end());
  return out;
}

TEST(PropertiesTest, WhatIsNotOfEventsIsLeft) {
  Properties properties = with({{"slot.name", "s"}, {"decimal.handling.mode", "string"}});
  const auto options = take_event_options(properties);
  ASSERT_TRUE(options.ok()) << options.error().text();
  EXPECT_EQ(properties, (Properties{{"slot.name", "s"}}));
  EXPECT_EQ(options->tables.values.decimals, DecimalMode::kString);
  EXPECT_EQ(options->tables.topic_prefix, "shop");
}

TEST(PropertiesTest, DefaultsAreTheConnectors) {
  Properties properties = with({});
  const EventOptions options = take_event_options(properties).value();
  EXPECT_EQ(options.tables.values.decimals, DecimalMode::kPrecise);
  EXPECT_EQ(options.tables.values.times, TimeMode::kAdaptive);
  EXPECT_EQ(options.skipped_operations, "t");
  EXPECT_TRUE(options.tombstones_on_delete && options.key_schemas && options.value_schemas);
  EXPECT_FALSE(options.transaction_metadata);
}

TEST(PropertiesTest, WrongValuesAreRefusedWithTheRightOnes) {
  const struct {
    std::pair<const std::string, std::string> property;
    const char* text;
  } kCases[] = {
      {{"decimal.handling.mode", "exact"},
       "decimal.handling.mode cannot be 'exact'. It is one of precise, double, string"},
      {{"tombstones.on.delete", "yes"},
       "tombstones.on.delete cannot be 'yes'. It is one of true, false"},
      {{"skipped.operations", "c,x"},
       "skipped.operations cannot be 'c,x'. It is a list of c, u, d, t, or none"},
      {{"money.fraction.digits", "-1"},
       "money.fraction.digits cannot be '-1'. It is a number from 0 to 18"},
      {{"money.fraction.digits", "99999999999999"},
       "money.fraction.digits cannot be '99999999999999'. It is a number from 0 to 18"},
      {{"message.key.columns", "public.a"},
       "message.key.columns cannot be 'public.a'. Write it as "
       "schema.table:column,column;schema.table:column"},
  };
  for (const auto& [property, text] : kCases) {
    Properties properties = with({property});
    const auto options = take_event_options(properties);
    EXPECT_EQ(options.ok() ? "taken" : options.error().text(), text);
  }
}

TEST(PropertiesTest, ExpressionThatIsNoneIsNamed) {
  Properties properties = with({{"column.exclude.list", "public.a.x,public.(b"}});
  const auto options = take_event_options(properties);
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.error().message, "column.exclude.list has no regular expression: 'public.(b'");
}

TEST(PropertiesTest, ColumnsAreIncludedOrExcluded) {
  Properties properties = with({{"column.exclude.list", "a"}, {"column.include.list", "b"}});
  EXPECT_FALSE(take_event_options(properties).ok());
}

TEST(PropertiesTest, TopicPrefixIsDemanded) {
  Properties properties;
  EXPECT_EQ(take_event_options(properties).error().message, "topic.prefix is missing");
}

TEST(SelectionTest, ExpressionsMatchWholeNamesInAnyCase) {
  const Selection selection = Selection::parse("p", " public\\.a , shop.(x|y), z{1\\,2}").value();
  const std::pair<const char*, bool> kCases[] = {
      {"public.a", true}, {"PUBLIC.A", true}, {"public.ab", false}, {"xpublic.a", false},
      {"shop.y", true},   {"shop.z", false},  {"zz", true},         {"", false}};
  for (const auto& [name, matches] : kCases) EXPECT_EQ(selection.matches(name), matches) << name;
  EXPECT_TRUE(Selection::parse("p", " , ").value().is_empty());
}

}  // namespace
}  // namespace pgweir::debezium
