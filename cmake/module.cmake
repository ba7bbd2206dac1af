# add_module(log DEPS base io model LIBS PkgConfig::lz4): one folder = one library = one row of the
# layer table. Sources are found by name: *_test.cc are the module's tests, *_fuzz.cc its fuzzers,
# *_bench.cc its micro-benchmarks, main.cc a program that the folder itself declares, everything else
# the library.
#
# DEPS       modules this one may include; tools/check_layers.py holds every include to it.
# LIBS       libraries from outside.
# TEST_LIBS  what only the tests and benchmarks need (the harness that starts real servers).
# ALONE      tests (x for x_test.cc) that are a program of their own instead of a part of the module's.
# END_TO_END likewise, for tests that start what takes long: labelled so, and left out with the
#            other end-to-end tests.
function(add_module name)
  cmake_parse_arguments(M "" "" "DEPS;LIBS;TEST_LIBS;ALONE;END_TO_END" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  file(GLOB headers CONFIGURE_DEPENDS *.h)
  foreach(kind test fuzz bench)
    set(${kind}_sources ${sources})
    list(FILTER ${kind}_sources INCLUDE REGEX "_${kind}\\.cc$")
  endforeach()
  list(FILTER sources EXCLUDE REGEX "(_(test|bench|fuzz)|/main)\\.cc$")

  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(${name} ${scope} ${M_DEPS} ${M_LIBS} project_options)

  set(${name}_test_sources ${test_sources})
  set(test_programs ${name}_test)
  foreach(alone ${M_ALONE} ${M_END_TO_END})
    set(${alone}_test_sources ${CMAKE_CURRENT_SOURCE_DIR}/${alone}_test.cc)
    list(REMOVE_ITEM ${name}_test_sources ${${alone}_test_sources})
    if(PGWEIR_END_TO_END OR NOT ${alone} IN_LIST M_END_TO_END)
      list(APPEND test_programs ${alone}_test)
    endif()
  endforeach()
  foreach(program ${test_programs})
    if(${program}_sources AND NOT PGWEIR_FUZZ)
      set(labels ${name})
      string(REGEX REPLACE "_test$" "" unit ${program})
      if(${unit} IN_LIST M_END_TO_END)
        set(labels e2e)
      endif()
      add_executable(${program} ${${program}_sources})
      target_compile_options(${program} PRIVATE ${PGWEIR_TEST_OPTIONS})
      target_link_libraries(${program} ${name} ${M_TEST_LIBS} GTest::gmock GTest::gtest_main)
      gtest_discover_tests(${program} TEST_PREFIX "${name}." DISCOVERY_TIMEOUT 60
                           PROPERTIES TIMEOUT 300 LABELS "${labels}")
    endif()
  endforeach()
  if(bench_sources AND PGWEIR_END_TO_END AND NOT PGWEIR_FUZZ)
    add_executable(${name}_bench ${bench_sources})
    target_link_libraries(${name}_bench ${name} ${M_TEST_LIBS} benchmark::benchmark
                          benchmark::benchmark_main)
  endif()
  if(PGWEIR_FUZZ)
    foreach(fuzz ${fuzz_sources})
      get_filename_component(target ${fuzz} NAME_WE)
      add_executable(${target} ${fuzz})
      target_link_libraries(${target} ${name})
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
      set_property(GLOBAL APPEND PROPERTY PGWEIR_FUZZERS ${target})
    endforeach()
  endif()

  string(REPLACE ";" " " row "${M_DEPS}")
  set_property(GLOBAL APPEND_STRING PROPERTY PGWEIR_LAYERS "${name}: ${row}\n")
endfunction()
